//! Parts of pages that every crate puts into its own templates: `{{ field }}` writes the HTML, already escaped.

use askama::Template;
use askama::filters::HtmlSafe;

use crate::Visit;

/// What a text field is for; it chooses the keyboard of a phone, the width and whether the value is shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FieldKind {
    /// Plain text.
    #[default]
    Text,
    /// Digits, typed on the number pad, shown wide apart (SMS code, activation code).
    Code,
    /// Digits that stay hidden and are never sent back to the page.
    Secret,
    /// A long key that is pasted, stays hidden and is never sent back to the page.
    Key,
    /// A whole number such as an amount.
    Number,
    /// A telephone number.
    Telephone,
    /// A day, with the browser's own picker.
    Date,
    /// A search word.
    Search,
}

impl FieldKind {
    const fn input_type(self) -> &'static str {
        match self {
            Self::Text | Self::Code | Self::Number => "text",
            Self::Secret | Self::Key => "password",
            Self::Telephone => "tel",
            Self::Date => "date",
            Self::Search => "search",
        }
    }

    const fn input_mode(self) -> Option<&'static str> {
        match self {
            Self::Code | Self::Secret | Self::Number => Some("numeric"),
            Self::Text | Self::Key | Self::Telephone | Self::Date | Self::Search => None,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Code | Self::Secret => "code",
            Self::Number | Self::Date => "short",
            Self::Text | Self::Key | Self::Telephone | Self::Search => "",
        }
    }

    const fn secret(self) -> bool {
        matches!(self, Self::Secret | Self::Key)
    }
}

/// A text field with its label, hint and error, tied together for screen readers.
///
/// ```
/// use web::{Field, FieldKind};
/// let field = Field::new("pin", "Code secret").hint("6 chiffres").kind(FieldKind::Secret);
/// assert!(field.to_string().contains(r#"<label for="pin">Code secret</label>"#));
/// ```
#[derive(Clone, Debug, Template)]
#[template(path = "field.html")]
pub struct Field {
    name: String,
    label: String,
    hint: Option<String>,
    error: Option<String>,
    value: String,
    kind: FieldKind,
    autocomplete: Option<&'static str>,
    longest: u32,
}

impl HtmlSafe for Field {}

impl Field {
    /// A field; `name` is also its id, so it is unique on the page.
    pub fn new(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            hint: None,
            error: None,
            value: String::new(),
            kind: FieldKind::Text,
            autocomplete: None,
            longest: 200,
        }
    }

    /// What helps to fill it: format, where to find it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong with the value, if anything ([`crate::FormErrors::of`]).
    #[must_use]
    pub fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }

    /// The value to show again. A secret never is.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// What the field is for.
    #[must_use]
    pub const fn kind(mut self, kind: FieldKind) -> Self {
        self.kind = kind;
        self
    }

    /// The `autocomplete` token of HTML (`username`, `one-time-code`, `off`…).
    #[must_use]
    pub const fn autocomplete(mut self, token: &'static str) -> Self {
        self.autocomplete = Some(token);
        self
    }

    /// The most characters that it takes; 200 where not said.
    #[must_use]
    pub const fn longest(mut self, characters: u32) -> Self {
        self.longest = characters;
        self
    }

    fn described_by(&self) -> Option<String> {
        let hint = self.hint.as_ref().map(|_| format!("{}-hint", self.name));
        let error = self.error.as_ref().map(|_| format!("{}-error", self.name));
        let ids: Vec<String> = hint.into_iter().chain(error).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }
}

/// One of several answers.
#[derive(Clone, Debug)]
struct Choice {
    value: String,
    label: String,
    checked: bool,
}

/// A question with a few answers, as radio buttons with a legend.
#[derive(Clone, Debug, Template)]
#[template(path = "choices.html")]
pub struct Choices {
    name: String,
    label: String,
    hint: Option<String>,
    error: Option<String>,
    answers: Vec<Choice>,
}

impl HtmlSafe for Choices {}

impl Choices {
    /// A question; `name` is its id too.
    pub fn new(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self { name: name.into(), label: label.into(), hint: None, error: None, answers: Vec::new() }
    }

    /// Adds an answer.
    #[must_use]
    pub fn choice(mut self, value: impl Into<String>, label: impl Into<String>, checked: bool) -> Self {
        self.answers.push(Choice { value: value.into(), label: label.into(), checked });
        self
    }

    /// What helps to choose.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong, if anything.
    #[must_use]
    pub fn error(mut self, error: Option<String>) -> Self {
        self.error = error;
        self
    }
}

/// One line of an [`ErrorSummary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The id of the field; empty where the error belongs to the whole form.
    pub field: String,
    /// What is wrong and what to do.
    pub text: String,
}

/// The box at the head of a form that was refused; it writes nothing where there is no error.
#[derive(Clone, Debug, Template)]
#[template(path = "error_summary.html")]
pub struct ErrorSummary {
    /// Its heading.
    pub title: String,
    /// The errors, in the order of the fields.
    pub errors: Vec<FieldError>,
}

impl HtmlSafe for ErrorSummary {}

/// Which slice of a list a page shows: `?offset=…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// How many rows come before the slice.
    pub offset: usize,
    /// How many rows the slice has at most.
    pub limit: usize,
}

impl Paging {
    /// A slice; the offset is capped at a million so that no query walks for ever.
    pub fn new(offset: usize, limit: usize) -> Self {
        Self { offset: offset.min(1_000_000), limit: limit.max(1) }
    }

    /// The links to the neighbours. `path` is the page with its other filters, without `offset`: `/log?year=2026`.
    pub fn links(&self, visit: &Visit, path: &str, shown: usize, total: usize) -> PageLinks {
        let joiner = if path.contains('?') { '&' } else { '?' };
        let previous = (self.offset > 0).then(|| match self.offset.saturating_sub(self.limit) {
            0 => path.to_owned(),
            offset => format!("{path}{joiner}offset={offset}"),
        });
        let end = self.offset + shown;
        let next = (end < total).then(|| format!("{path}{joiner}offset={end}"));
        let args = [("from", (self.offset + 1).into()), ("to", end.into()), ("total", total.into())];
        PageLinks {
            label: visit.t("web-pages"),
            previous_label: visit.t("web-pages-previous"),
            next_label: visit.t("web-pages-next"),
            position: visit.t_with("web-pages-position", &args),
            previous,
            next,
        }
    }
}

/// Links to the page before and the page after; it writes nothing where the list fits one page.
#[derive(Clone, Debug, Template)]
#[template(path = "pages.html")]
pub struct PageLinks {
    label: String,
    previous_label: String,
    next_label: String,
    position: String,
    previous: Option<String>,
    next: Option<String>,
}

impl HtmlSafe for PageLinks {}
