use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};

use crate::registry::RegistryError;

/// An error in the form of X-Road's API: `{"status", "error": {"code", "metadata"}, "warnings"}`.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    /// What is wrong and what to do, for people.
    pub(super) metadata: Vec<String>,
    /// What would go through with `ignore_warnings`.
    pub(super) warnings: Vec<(&'static str, Vec<String>)>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, what: impl Into<String>) -> Self {
        Self { status, code, metadata: vec![what.into()], warnings: Vec::new() }
    }

    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_failure", what)
    }

    pub(super) fn not_found(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, what)
    }

    pub(super) fn conflict(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, what)
    }

    /// Something that a repetition with `ignore_warnings` would do all the same.
    pub(super) fn warning(code: &'static str, what: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "warnings_detected",
            metadata: Vec::new(),
            warnings: vec![(code, vec![what.into()])],
        }
    }

    /// A failure of ours: told to the log, not to the caller.
    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "an operation of the management API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the node failed: look into its log")
    }

    fn body(&self) -> Json {
        let mut error = json!({ "code": self.code });
        if let (Some(error), false) = (error.as_object_mut(), self.metadata.is_empty()) {
            error.insert("metadata".to_owned(), json!(self.metadata));
        }
        let mut body = json!({ "status": self.status.as_u16(), "error": error });
        if let (Some(body), false) = (body.as_object_mut(), self.warnings.is_empty()) {
            let warnings: Vec<Json> =
                self.warnings.iter().map(|(code, metadata)| json!({ "code": code, "metadata": metadata })).collect();
            body.insert("warnings".to_owned(), json!(warnings));
        }
        body
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let text = error.to_string();
        match error {
            RegistryError::NotFound(_) => Self::not_found("not_found", text),
            RegistryError::Exists(_) => Self::conflict("already_exists", text),
            RegistryError::Declared(_) => Self::conflict("declared_in_configuration", text),
            RegistryError::Invalid(_) => Self::bad(text),
            RegistryError::Store(_) | RegistryError::Damaged(_) => Self::internal(text),
        }
    }
}

impl From<::store::StoreError> for ApiError {
    fn from(error: ::store::StoreError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("X-Road-ApiKey"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        (self.status, headers, self.body().to_string()).into_response()
    }
}
