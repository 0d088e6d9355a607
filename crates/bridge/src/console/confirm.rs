//! The page that asks once more before something is done: what it is about, what follows, a button and a way back.

use askama::Template;
use web::{Page, Problem, Visit};

use super::{Operator, Section};

/// What the operator is asked.
#[derive(Template)]
#[template(path = "console/confirm.html")]
pub(super) struct Confirm<'a> {
    pub(super) v: &'a Visit,
    /// The heading: what will be done.
    pub(super) title: String,
    /// What follows from it.
    pub(super) text: String,
    /// What it is about: word and value.
    pub(super) facts: Vec<(String, String)>,
    /// The address of the form.
    pub(super) action: String,
    /// A field to fill, where there is one.
    pub(super) field: Option<web::Field>,
    /// The word of the button.
    pub(super) button: String,
    /// Whether it cannot be taken back.
    pub(super) warn: bool,
    /// Where "no" leads.
    pub(super) back: &'static str,
    pub(super) csrf: String,
}

impl Confirm<'_> {
    /// The page.
    pub(super) fn page(self, operator: &Operator, section: Section) -> Result<Page, Problem> {
        let back = self.back;
        let title = self.title.clone();
        Ok(operator.page(section, &title, &self)?.back(back))
    }
}
