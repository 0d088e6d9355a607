use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use web::{ErrorSummary, Field, Form, FormErrors, Page, Params, Problem, Visit};

use super::login::{PasskeyPost, not_logged_in, pin_field};
use super::{FlowForm, PASSKEY_MODULE, PasskeyPart, Step, json_fault, ours, see_other, told, with_fault};
use crate::assurance::{Acr, Authentication};
use crate::identity::Identity;

/// The page after a login by codes: a passkey, a PIN.
#[derive(Template)]
#[template(path = "secure.html")]
struct SecureBody<'a> {
    v: &'a Visit,
    errors: ErrorSummary,
    is_low: bool,
    is_wrong: bool,
    has_pin: bool,
    passkey: PasskeyPart,
    pin: Field,
    again: Field,
    csrf: String,
    flow: String,
}

/// The form for a new PIN.
#[derive(Debug, Deserialize)]
pub(super) struct PinForm {
    #[serde(flatten)]
    flow: FlowForm,
    #[serde(default)]
    new_pin: String,
    #[serde(default)]
    again: String,
}

/// Whether the citizen should see this page before the flow goes on: they must where no way to log in again exists, and are asked
/// once a session where a passkey would be better.
pub(super) async fn is_due(identity: &Identity, step: &Step, login: &Authentication) -> Result<bool, Problem> {
    let browser = &step.session.data;
    if browser.bind.is_none() || login.at < step.flow.created_at {
        return Ok(false);
    }
    if !identity.inner.tables.passkeys_of(&login.person).await.map_err(ours)?.is_empty() {
        return Ok(false);
    }
    Ok(!browser.offer_skipped || !has_pin(identity, login).await?)
}

/// `GET /secure`.
pub(super) async fn page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    let Some((login, _)) = fresh_login(&step) else {
        return Ok(see_other(&step.path("/continue"), None));
    };
    Ok(secure_page(&identity, &visit, &step, &login, &FormErrors::none()).await?.into_response())
}

/// `POST /secure/pin`.
pub(super) async fn pin(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<PinForm>,
) -> Result<Response, Problem> {
    let mut step = Step::of_form(&identity, &visit, &headers, &form.flow).await?;
    let (login, _) = fresh_login(&step).ok_or_else(|| not_logged_in(&visit))?;
    match identity.choose_pin(&login.person, &form.new_pin, &form.again).await {
        Ok(()) => {
            skip(&identity, &mut step).await?;
            Ok(see_other(&step.path("/continue"), None))
        }
        Err(fault) => {
            let errors = FormErrors::one("new_pin", told(&visit, &fault, "identity-error-login")?);
            let page = secure_page(&identity, &visit, &step, &login, &errors).await?;
            Ok(with_fault(page, &fault).into_response())
        }
    }
}

/// `POST /secure/later`: goes on with the PIN.
pub(super) async fn later(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<FlowForm>,
) -> Result<Response, Problem> {
    let mut step = Step::of_form(&identity, &visit, &headers, &form).await?;
    skip(&identity, &mut step).await?;
    Ok(see_other(&step.path("/continue"), None))
}

/// `POST /secure/passkey/start`.
pub(super) async fn passkey_start(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Json(post): Json<PasskeyPost>,
) -> Result<Json<Value>, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &post.flow).await?;
    let (login, _) = fresh_login(&step).ok_or_else(|| not_logged_in(&visit))?;
    identity.passkey_options(&step.flow, &login.person).await.map(Json).map_err(|fault| json_fault(&fault))
}

/// `POST /secure/passkey/finish`.
pub(super) async fn passkey_finish(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Json(post): Json<PasskeyPost>,
) -> Result<Json<Value>, Problem> {
    let mut step = Step::of_form(&identity, &visit, &headers, &post.flow).await?;
    let (login, bind) = fresh_login(&step).ok_or_else(|| not_logged_in(&visit))?;
    let added = identity.add_passkey(&step.flow, &login.person, bind, post.credential).await;
    added.map_err(|fault| json_fault(&fault))?;
    skip(&identity, &mut step).await?;
    Ok(Json(json!({"location": step.path("/continue")})))
}

/// The login of this session and the level under which credentials may be changed; `None` where it may not.
fn fresh_login(step: &Step) -> Option<(Authentication, Acr)> {
    step.session.data.login.clone().zip(step.session.data.bind)
}

async fn skip(identity: &Identity, step: &mut Step) -> Result<(), Problem> {
    step.session.data.offer_skipped = true;
    Ok(identity.inner.sessions.save(&step.session).await?)
}

async fn has_pin(identity: &Identity, login: &Authentication) -> Result<bool, Problem> {
    let account = identity.inner.tables.account(&login.person).await.map_err(ours)?;
    Ok(account.is_some_and(|account| account.pin_hash.is_some()))
}

async fn secure_page(
    identity: &Identity,
    visit: &Visit,
    step: &Step,
    login: &Authentication,
    errors: &FormErrors,
) -> Result<Page, Problem> {
    let body = SecureBody {
        v: visit,
        errors: errors.summary(visit),
        is_low: login.acr == Acr::Low,
        is_wrong: !errors.is_empty(),
        has_pin: has_pin(identity, login).await?,
        passkey: PasskeyPart {
            kind: "register",
            start: "/secure/passkey/start",
            finish: "/secure/passkey/finish",
            flow: step.id.clone(),
            csrf: step.session.csrf(),
            title: visit.t("identity-secure-passkey-title"),
            text: visit.t("identity-secure-passkey-text"),
            button: visit.t("identity-secure-passkey-button"),
            failed: visit.t("identity-secure-passkey-failed"),
        },
        pin: pin_field(visit, "new_pin", "identity-secure-pin", "identity-secure-pin-hint").error(errors.of("new_pin")),
        again: pin_field(visit, "again", "identity-secure-again", "identity-secure-pin-hint"),
        csrf: step.session.csrf(),
        flow: step.id.clone(),
    };
    let page = step.page(visit, &visit.t("identity-secure-title"), &body)?;
    Ok(page.language_path(step.path("/secure")).module(PASSKEY_MODULE.href()))
}
