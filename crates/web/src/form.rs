//! Forms: read with limits, shown again with what is wrong.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use crate::{ErrorSummary, FieldError, Problem, Visit};

/// The largest form that is read, in bytes.
pub const FORM_BYTES_MAX: usize = 64 * 1024;

/// The fields of a posted form, at most 64 KiB. `T` may be a struct (missing fields are refused unless
/// `#[serde(default)]`) or `Vec<(String, String)>` where a field repeats.
#[derive(Debug, Clone)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
        {
            return Err(Problem::bad_request("Send the form as application/x-www-form-urlencoded."));
        }
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| {
            Problem::too_large(format!("A form may have {FORM_BYTES_MAX} bytes and must arrive whole."))
        })?;
        let read = axum::Form::from_request(Request::from_parts(parts, Body::from(bytes)), state).await;
        read.map(|axum::Form(fields)| Self(fields)).map_err(|error| {
            Problem::bad_request(format!("The form lacks a field or has a wrong one: {}", error.body_text()))
        })
    }
}

/// What is wrong in a form, in the reader's language, field by field.
#[derive(Debug, Clone, Default)]
pub struct FormErrors(Vec<FieldError>);

impl FormErrors {
    /// Nothing wrong yet.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Notes an error; `field` is the field's name (empty where the error belongs to the whole form).
    pub fn add(&mut self, field: &str, text: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), text: text.into() });
    }

    /// One error alone.
    pub fn one(field: &str, text: impl Into<String>) -> Self {
        let mut errors = Self::none();
        errors.add(field, text);
        errors
    }

    /// Whether the form may be taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first error of a field, to show beside it.
    pub fn of(&self, field: &str) -> Option<String> {
        self.0.iter().find(|error| error.field == field).map(|error| error.text.clone())
    }

    /// The box at the head of the page that links to each wrong field; empty where nothing is wrong.
    pub fn summary(&self, visit: &Visit) -> ErrorSummary {
        ErrorSummary { title: visit.t("web-errors-title"), errors: self.0.clone() }
    }
}
