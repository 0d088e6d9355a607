//! Signing in with an API key of the node.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use web::{ErrorSummary, Field, FieldKind, Form, FormErrors, Page, Problem, Visit};

use super::{At, CONSOLE, Memory, Operator};
use crate::api::{self, Role};
use crate::core::Core;
use crate::registry::Author;

/// The key that somebody signed in with.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SignIn {
    number: i64,
    roles: Vec<Role>,
}

impl SignIn {
    /// What the page calls the operator: keys have numbers, not names.
    pub(super) fn name(&self, visit: &Visit) -> String {
        visit.t1("console-operator", "number", self.number)
    }

    /// The number of the key and its roles.
    pub(super) fn holder(&self) -> (i64, &[Role]) {
        (self.number, &self.roles)
    }

    /// Who is written down for a change.
    pub(super) const fn author(&self) -> Author {
        Author::ApiKey(self.number)
    }

    /// The same key as it is now; `None` where it was withdrawn.
    pub(super) async fn renewed(&self, core: &Core) -> Result<Option<Self>, Problem> {
        let holder = api::holder(core, self.number).await.map_err(Problem::unavailable)?;
        Ok(holder.map(|(number, roles)| Self { number, roles }))
    }
}

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct Body<'a> {
    v: &'a Visit,
    errors: ErrorSummary,
    key: Field,
}

/// The form.
#[derive(Deserialize)]
pub(super) struct KeyForm {
    key: String,
}

/// `/console/sign-in`
pub(super) async fn page(visit: Visit) -> Result<Page, Problem> {
    body(&visit, &FormErrors::none())
}

/// `POST /console/sign-in`
pub(super) async fn sign_in(State(console): At, visit: Visit, Form(form): Form<KeyForm>) -> Result<Response, Problem> {
    // A key has 256 random bits: guessing is hopeless, so attempts are slowed by the limits of the listener only.
    let key = form.key.trim();
    let holder = if key.len() > 256 {
        None
    } else {
        api::holder_of_key(&console.core, key).await.map_err(Problem::unavailable)?
    };
    let Some((number, roles)) = holder else {
        tracing::warn!(node = %console.core.config.server, "a sign-in to the console with an unknown key was refused");
        let errors = FormErrors::one("key", visit.t("console-sign-in-wrong"));
        return Ok((StatusCode::UNAUTHORIZED, body(&visit, &errors)?).into_response());
    };
    let known = SignIn { number, roles };
    console.core.registry.audit(&known.author(), "sign_in", "console").await.map_err(super::refused)?;
    let (_, cookie) = console.sessions.start(Memory { operator: Some(known), notice: None, trouble: None }).await?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to(CONSOLE)).into_response())
}

/// The form that ends a session.
#[derive(Deserialize)]
pub(super) struct SignOutForm {
    csrf: String,
}

/// `POST /console/sign-out`
pub(super) async fn sign_out(
    State(console): At,
    operator: Operator,
    Form(form): Form<SignOutForm>,
) -> Result<Response, Problem> {
    operator.session.verify_csrf(&form.csrf)?;
    let cookie = console.sessions.end(&operator.session).await?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/console/sign-in")).into_response())
}

/// What a stranger gets instead of a page.
pub(super) fn asked(visit: &Visit) -> Response {
    match body(visit, &FormErrors::none()) {
        Ok(page) => (StatusCode::UNAUTHORIZED, page).into_response(),
        Err(problem) => problem.into_response(),
    }
}

fn body(visit: &Visit, errors: &FormErrors) -> Result<Page, Problem> {
    let key = Field::new("key", visit.t("console-sign-in-key"))
        .kind(FieldKind::Key)
        .autocomplete("current-password")
        .error(errors.of("key"));
    let body = Body { v: visit, errors: errors.summary(visit), key };
    Ok(visit.page(visit.t("console-sign-in-title"), &body)?.language_path("/console/sign-in"))
}
