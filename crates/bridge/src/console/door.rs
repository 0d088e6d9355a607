//! Who may open which page. A page stands for an operation of the management API: whoever may not call the one may not see the other.
//!
//! A page without a door is not served: [`super::Operator`] finds none and refuses.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use web::{Problem, Visit};

use super::Operator;
use crate::api::{self, Role};

/// Steps by their words in addresses, each with its operation.
type Steps = &'static [(&'static str, &'static str)];

/// Who may open a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Anybody: here one signs in.
    Open,
    /// Whoever is signed in.
    SignedIn,
    /// Whoever may call this operation of the API.
    Of(&'static str),
    /// Whoever may call the operation of the step that ends the address.
    OfStep(Steps),
}

/// Who reaches a page, for the test that walks them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anybody.
    Strangers,
    /// Every key of the node.
    EveryKey,
    /// Keys that may call this operation of the management API.
    Operation(&'static str),
}

impl Door {
    /// The addresses behind the door, and who reaches each.
    pub(super) fn reach(self, path: &'static str) -> Vec<(String, Reach)> {
        let one = |reach| vec![(path.to_owned(), reach)];
        match self {
            Self::Open => one(Reach::Strangers),
            Self::SignedIn => one(Reach::EveryKey),
            Self::Of(operation) => one(Reach::Operation(operation)),
            Self::OfStep(steps) => {
                let filled = |(word, operation): &(&str, &'static str)| {
                    (path.replace("{action}", word), Reach::Operation(operation))
                };
                steps.iter().map(filled).collect()
            }
        }
    }

    /// The roles of which a key needs one; `None` where it needs none.
    pub(super) fn roles(self, address: &str) -> Result<Option<&'static [Role]>, Problem> {
        let operation = match self {
            Self::Open | Self::SignedIn => return Ok(None),
            Self::Of(operation) => operation,
            Self::OfStep(steps) => {
                let word = address.rsplit('/').next().unwrap_or_default();
                let step = steps.iter().find(|(known, _)| *known == word);
                step.ok_or_else(Problem::not_found)?.1
            }
        };
        Ok(Some(api::roles_of(operation)))
    }

    /// Whether a key with these roles may come in.
    pub(super) fn admits(self, roles: &[Role], address: &str) -> bool {
        matches!(self.roles(address), Ok(needed) if needed.is_none_or(|needed| share(roles, needed)))
    }
}

fn share(one: &[Role], other: &[Role]) -> bool {
    one.iter().any(|role| other.contains(role))
}

/// The page for an operator whose key may not open another.
#[derive(Template)]
#[template(path = "console/not_allowed.html")]
struct NotAllowed<'a> {
    v: &'a Visit,
    /// The roles of which the page needs one.
    needed: &'static [Role],
    /// Those of the key.
    held: &'a [Role],
}

/// The key of the translations for a role.
pub(super) fn role_key(role: Role) -> String {
    format!("console-role-{}", role.word().to_lowercase().replace('_', "-"))
}

impl Operator {
    /// What an operator gets instead of a page for which the key has no role: a page that says which roles it needs.
    pub(super) fn refusal(&self, door: Door, address: &str) -> Option<Response> {
        let (number, held) = self.known.holder();
        let needed = match door.roles(address) {
            Ok(needed) => needed.filter(|needed| !share(held, needed))?,
            Err(problem) => return Some(problem.into_response()),
        };
        tracing::warn!(node = %self.console.core.config.server, key = number, address, "a page of the console was refused");
        let v = &self.visit;
        let page = self.page_beside(None, &v.t("console-not-allowed-title"), &NotAllowed { v, needed, held });
        Some(page.map(|page| page.status(StatusCode::FORBIDDEN)).into_response())
    }
}

#[cfg(test)]
mod tests {
    use civic::Locale;

    use super::*;

    #[test]
    fn every_role_has_words_in_every_language() {
        let messages = super::super::messages().unwrap();
        for role in Role::ALL {
            for locale in Locale::ALL {
                assert!(messages.has(locale, &role_key(role)), "{locale:?} lacks {role:?}");
            }
        }
    }

    #[test]
    fn a_door_of_an_operation_that_there_is_not_lets_nobody_in() {
        assert!(!Door::Of("noSuchOperation").admits(&Role::ALL, "/console/x"));
        assert!(!Door::OfStep(&[("delete", "deleteClient")]).admits(&Role::ALL, "/console/clients/a/explode"));
    }
}
