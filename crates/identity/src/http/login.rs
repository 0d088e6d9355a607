use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::SET_COOKIE;
use serde::Deserialize;
use serde_json::{Value, json};
use web::{ErrorSummary, Field, FieldKind, Form, FormErrors, Page, Params, Problem, Visit};

use super::{
    FlowForm, PASSKEY_MODULE, PasskeyPart, Source, Step, follow, json_fault, ours, person_problem, see_other, told,
    with_fault,
};
use crate::identity::Identity;
use crate::login::LoginFault;
use crate::store::Step as LoginStep;

/// One step of the login: a few fields and a button.
#[derive(Template)]
#[template(path = "step.html")]
struct StepBody {
    errors: ErrorSummary,
    title: String,
    client: Option<String>,
    lead: String,
    passkey: Option<PasskeyPart>,
    action: &'static str,
    csrf: String,
    flow: String,
    fields: Vec<Field>,
    submit: String,
    resend: Option<(&'static str, String)>,
    links: Vec<(String, String)>,
    cancel: String,
}

impl StepBody {
    fn new(identity: &Identity, visit: &Visit, step: &Step, action: &'static str, title: &str) -> Self {
        Self {
            errors: FormErrors::none().summary(visit),
            title: visit.t(title),
            client: step.client_line(identity, visit),
            lead: String::new(),
            passkey: None,
            action,
            csrf: step.session.csrf(),
            flow: step.id.clone(),
            fields: Vec::new(),
            submit: visit.t("identity-continue"),
            resend: None,
            links: Vec::new(),
            cancel: visit.t("identity-cancel"),
        }
    }

    fn page(self, visit: &Visit, step: &Step) -> Result<Page, Problem> {
        let title = self.title.clone();
        let module = self.passkey.is_some();
        let page = step.page(visit, &title, &self)?.language_path(step.path(self.action));
        Ok(if module { page.module(PASSKEY_MODULE.href()) } else { page })
    }
}

/// The fields of the login forms; each form fills its own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LoginForm {
    #[serde(flatten)]
    flow: FlowForm,
    #[serde(default)]
    number: String,
    #[serde(default)]
    pin: String,
    #[serde(default)]
    code: String,
}

/// `GET /login`: number and PIN, or a passkey.
pub(super) async fn login_page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Page, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    login_body(&identity, &visit, &step, "", &FormErrors::none()).page(&visit, &step)
}

/// `POST /login`.
pub(super) async fn login(
    State(identity): State<Identity>,
    visit: Visit,
    source: Source,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form.flow).await?;
    match identity.login_by_pin(&step.flow, &source.0, visit.locale, &form.number, &form.pin).await {
        Ok(next) => follow(&identity, step, next).await,
        Err(fault) => {
            let errors = FormErrors::one("number", told(&visit, &fault, "identity-error-login")?);
            let page = login_body(&identity, &visit, &step, &form.number, &errors).page(&visit, &step)?;
            Ok(with_fault(page, &fault).into_response())
        }
    }
}

fn login_body(identity: &Identity, visit: &Visit, step: &Step, number: &str, errors: &FormErrors) -> StepBody {
    StepBody {
        errors: errors.summary(visit),
        lead: visit.t("identity-login-lead"),
        passkey: Some(PasskeyPart {
            kind: "login",
            start: "/login/passkey/start",
            finish: "/login/passkey/finish",
            flow: step.id.clone(),
            csrf: step.session.csrf(),
            title: visit.t("identity-passkey-title"),
            text: visit.t("identity-passkey-text"),
            button: visit.t("identity-passkey-button"),
            failed: visit.t("identity-passkey-failed"),
        }),
        fields: vec![number_field(visit, number, errors), pin_field(visit, "pin", "identity-pin", "identity-pin-hint")],
        links: vec![(step.path("/first-use"), visit.t("identity-first-use-link"))],
        ..StepBody::new(identity, visit, step, "/login", "identity-login-title")
    }
}

/// `GET /login/letter`: the activation code after the PIN.
pub(super) async fn letter_page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    if !matches!(step.flow.step, LoginStep::Letter { .. }) {
        return Ok(see_other(&step.path("/continue"), None));
    }
    Ok(letter_body(&identity, &visit, &step, &FormErrors::none()).page(&visit, &step)?.into_response())
}

/// `POST /login/letter`.
pub(super) async fn letter(
    State(identity): State<Identity>,
    visit: Visit,
    source: Source,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form.flow).await?;
    match identity.login_by_letter(&step.flow, &source.0, visit.locale, &form.code).await {
        Ok(next) => follow(&identity, step, next).await,
        Err(LoginFault::OtherStep) => Ok(see_other(&step.path("/continue"), None)),
        Err(fault) => {
            let errors = FormErrors::one("code", told(&visit, &fault, "identity-error-letter")?);
            let page = letter_body(&identity, &visit, &step, &errors).page(&visit, &step)?;
            Ok(with_fault(page, &fault).into_response())
        }
    }
}

fn letter_body(identity: &Identity, visit: &Visit, step: &Step, errors: &FormErrors) -> StepBody {
    StepBody {
        errors: errors.summary(visit),
        lead: visit.t("identity-letter-lead"),
        fields: vec![letter_field(visit, errors)],
        ..StepBody::new(identity, visit, step, "/login/letter", "identity-letter-title")
    }
}

/// `GET /first-use`: number and activation code.
pub(super) async fn first_use_page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Page, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    first_use_body(&identity, &visit, &step, "", &FormErrors::none()).page(&visit, &step)
}

/// `POST /first-use`.
pub(super) async fn first_use(
    State(identity): State<Identity>,
    visit: Visit,
    source: Source,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form.flow).await?;
    match identity.first_use(&step.flow, &source.0, visit.locale, &form.number, &form.code).await {
        Ok(next) => follow(&identity, step, next).await,
        Err(fault) => {
            let errors = FormErrors::one("number", told(&visit, &fault, "identity-error-first-use")?);
            let page = first_use_body(&identity, &visit, &step, &form.number, &errors).page(&visit, &step)?;
            Ok(with_fault(page, &fault).into_response())
        }
    }
}

fn first_use_body(identity: &Identity, visit: &Visit, step: &Step, number: &str, errors: &FormErrors) -> StepBody {
    StepBody {
        errors: errors.summary(visit),
        lead: visit.t("identity-first-use-lead"),
        fields: vec![number_field(visit, number, errors), letter_field(visit, errors)],
        links: vec![(step.path("/login"), visit.t("identity-login-link"))],
        ..StepBody::new(identity, visit, step, "/first-use", "identity-first-use-title")
    }
}

/// `GET /login/sms`: the code of the message.
pub(super) async fn sms_page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    if !matches!(step.flow.step, LoginStep::Sms { .. }) {
        return Ok(see_other(&step.path("/continue"), None));
    }
    let mut body = sms_body(&identity, &visit, &step, &FormErrors::none()).await?;
    if params.get("sent").is_some() {
        body.lead = visit.t("identity-sms-sent");
    }
    Ok(body.page(&visit, &step)?.into_response())
}

/// `POST /login/sms`.
pub(super) async fn sms(
    State(identity): State<Identity>,
    visit: Visit,
    source: Source,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form.flow).await?;
    match identity.login_by_sms(&step.flow, &source.0, &form.code).await {
        Ok(next) => follow(&identity, step, next).await,
        Err(LoginFault::OtherStep) => Ok(see_other(&step.path("/continue"), None)),
        Err(fault) => sms_again_page(&identity, &visit, &step, &fault).await,
    }
}

/// `POST /login/sms/again`: another message.
pub(super) async fn sms_again(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<FlowForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form).await?;
    match identity.resend_sms(&step.flow, visit.locale).await {
        Ok(()) => Ok(see_other(&format!("{}&sent=1", step.path("/login/sms")), None)),
        Err(LoginFault::OtherStep) => Ok(see_other(&step.path("/continue"), None)),
        Err(fault) => sms_again_page(&identity, &visit, &step, &fault).await,
    }
}

async fn sms_again_page(
    identity: &Identity,
    visit: &Visit,
    step: &Step,
    fault: &LoginFault,
) -> Result<Response, Problem> {
    let errors = FormErrors::one("code", told(visit, fault, "identity-error-sms")?);
    let page = sms_body(identity, visit, step, &errors).await?.page(visit, step)?;
    Ok(with_fault(page, fault).into_response())
}

async fn sms_body(identity: &Identity, visit: &Visit, step: &Step, errors: &FormErrors) -> Result<StepBody, Problem> {
    let mut hint = String::new();
    if let LoginStep::Sms { person, .. } = &step.flow.step {
        let account = identity.inner.tables.account(person).await.map_err(ours)?;
        hint = account.map(|account| account.phone_hint()).unwrap_or_default();
    }
    let field = Field::new("code", visit.t("identity-sms"))
        .hint(visit.t("identity-sms-hint"))
        .kind(FieldKind::Code)
        .autocomplete("one-time-code")
        .longest(10)
        .error(errors.of("code"));
    Ok(StepBody {
        errors: errors.summary(visit),
        lead: visit.t1("identity-sms-lead", "phone", hint),
        fields: vec![field],
        resend: Some(("/login/sms/again", visit.t("identity-sms-resend"))),
        ..StepBody::new(identity, visit, step, "/login/sms", "identity-sms-title")
    })
}

/// What the passkey module posts.
#[derive(Debug, Deserialize)]
pub(super) struct PasskeyPost {
    #[serde(flatten)]
    pub(super) flow: FlowForm,
    #[serde(default)]
    pub(super) credential: Value,
}

/// `POST /login/passkey/start`: the challenge.
pub(super) async fn passkey_start(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Json(post): Json<PasskeyPost>,
) -> Result<Json<Value>, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &post.flow).await?;
    identity.passkey_login_options(&step.flow).await.map(Json).map_err(|fault| json_fault(&fault))
}

/// `POST /login/passkey/finish`: the signed challenge; answers where to go on.
pub(super) async fn passkey_finish(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Json(post): Json<PasskeyPost>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &post.flow).await?;
    let completed = identity.login_by_passkey(&step.flow, post.credential).await.map_err(|fault| json_fault(&fault))?;
    let location = step.path("/continue");
    let cookie = identity.log_in(&step.session, completed).await?;
    let mut response = Json(json!({"location": location})).into_response();
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

fn number_field(visit: &Visit, number: &str, errors: &FormErrors) -> Field {
    Field::new("number", visit.t("identity-number"))
        .hint(visit.t("identity-number-hint"))
        .value(number.chars().take(32).collect::<String>())
        .autocomplete("username")
        .longest(32)
        .error(errors.of("number"))
}

fn letter_field(visit: &Visit, errors: &FormErrors) -> Field {
    Field::new("code", visit.t("identity-letter"))
        .hint(visit.t("identity-letter-hint"))
        .autocomplete("off")
        .longest(16)
        .error(errors.of("code"))
}

/// A field for a PIN.
pub(super) fn pin_field(visit: &Visit, name: &str, label: &str, hint: &str) -> Field {
    let token = if name == "pin" { "current-password" } else { "new-password" };
    Field::new(name, visit.t(label)).hint(visit.t(hint)).kind(FieldKind::Secret).autocomplete(token).longest(16)
}

/// The page for somebody who must be logged in and is not.
pub(super) fn not_logged_in(visit: &Visit) -> Problem {
    person_problem(visit, http::StatusCode::FORBIDDEN, "not_logged_in", "identity-over")
}
