use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderValue, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use trust::jose::jws_verify;
use web::{Form, FormAction, Page, Params, Problem, Visit, form_text};

use super::{Step, ended, ours, own_form, person_problem, secure, see_other};
use crate::browser::Session;
use crate::client::Client;
use crate::finish::Need;
use crate::identity::Identity;
use crate::store::Step as LoginStep;
use crate::token::{ID_TOKEN_TYPE, IdToken};

/// A page of a few sentences, with a button where something can be done.
#[derive(Template)]
#[template(path = "message.html")]
struct MessageBody {
    title: String,
    paragraphs: Vec<String>,
    form: Option<MessageForm>,
    links: Vec<(String, String)>,
}

struct MessageForm {
    action: &'static str,
    fields: Vec<(&'static str, String)>,
    submit: String,
}

/// The parameters of RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0 §2), and of our own form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogoutForm {
    csrf: String,
    id_token_hint: String,
    client_id: String,
    post_logout_redirect_uri: String,
    state: String,
}

/// `GET /`: what this site is.
pub(super) async fn home(State(identity): State<Identity>, visit: Visit) -> Result<Page, Problem> {
    let title = visit.t("identity-home-title");
    let body = MessageBody {
        title: title.clone(),
        paragraphs: vec![visit.t("identity-home-text"), visit.t("identity-home-how")],
        form: None,
        links: vec![(identity.inner.config.portal_url.clone(), visit.t("identity-home-portal"))],
    };
    visit.page(title, &body)
}

/// `GET /continue`: sends the browser to what is still missing, or back to the client with its code.
pub(super) async fn go_on(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    let login = step.session.data.login.clone();
    let need = identity.need(&step.flow, login.as_ref());
    let Some(login) = login.filter(|_| need != Need::Login) else {
        let page = match step.flow.step {
            LoginStep::Letter { .. } => "/login/letter",
            LoginStep::Sms { .. } => "/login/sms",
            LoginStep::Identify | LoginStep::Done => "/login",
        };
        return Ok(see_other(&step.path(page), None));
    };
    if secure::is_due(&identity, &step, &login).await? {
        return Ok(see_other(&step.path("/secure"), None));
    }
    match need {
        Need::Login | Need::Stronger => Ok(see_other(&step.path("/stronger"), None)),
        Need::Consent => Ok(see_other(&step.path("/consent"), None)),
        Need::Nothing => {
            let ending = identity.end_with_login(&step.flow, &login).await.map_err(ours)?;
            ended(&visit, &step, ending)
        }
    }
}

/// `GET /stronger`: the login is too weak for what is asked.
pub(super) async fn stronger(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Page, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    let title = visit.t("identity-stronger-title");
    let body = MessageBody {
        title: title.clone(),
        paragraphs: vec![visit.t("identity-stronger-text"), visit.t("identity-stronger-help")],
        form: Some(MessageForm {
            action: "/cancel",
            fields: vec![("flow", step.id.clone()), ("csrf", step.session.csrf())],
            submit: visit.t("identity-cancel"),
        }),
        links: vec![(step.path("/login"), visit.t("identity-stronger-login"))],
    };
    step.page(&visit, &title, &body)
}

/// `GET /logout`: at once where the client proves by an id_token whose session it means, else after a question.
pub(super) async fn logout_page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    axum::extract::Query(form): axum::extract::Query<LogoutForm>,
) -> Result<Response, Problem> {
    let session = identity.inner.sessions.load(&headers).await?;
    let hint = hinted(&identity, &form);
    let target = target(&identity, &visit, &form, hint.as_ref())?;
    let Some(session) = session.filter(|session| session.data.login.is_some()) else {
        return left(&identity, &visit, target, None);
    };
    if is_meant(&identity, &session, hint.as_ref()) {
        let cookie = identity.inner.sessions.end(&session).await?;
        return left(&identity, &visit, target, Some(cookie));
    }
    let title = visit.t("identity-logout-title");
    let body = MessageBody {
        title: title.clone(),
        paragraphs: vec![visit.t("identity-logout-text")],
        form: Some(MessageForm {
            action: "/logout",
            fields: vec![
                ("csrf", session.csrf()),
                ("client_id", form.client_id),
                ("post_logout_redirect_uri", form.post_logout_redirect_uri),
                ("state", form.state),
            ],
            submit: visit.t("identity-logout-button"),
        }),
        links: Vec::new(),
    };
    Ok(visit.page(title, &body)?.form_action(FormAction::Anywhere).into_response())
}

/// `POST /logout`: the citizen confirmed.
pub(super) async fn logout(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<LogoutForm>,
) -> Result<Response, Problem> {
    let hint = hinted(&identity, &form);
    let target = target(&identity, &visit, &form, hint.as_ref())?;
    let mut cookie = None;
    if let Some(session) = identity.inner.sessions.load(&headers).await? {
        if !is_meant(&identity, &session, hint.as_ref()) {
            own_form(&visit, &session, &form.csrf)?;
        }
        cookie = Some(identity.inner.sessions.end(&session).await?);
    }
    left(&identity, &visit, target, cookie)
}

/// The claims of the hint, if we signed it; an old one will do.
fn hinted(identity: &Identity, form: &LogoutForm) -> Option<IdToken> {
    jws_verify::<IdToken>(&form.id_token_hint, &identity.inner.keys, ID_TOKEN_TYPE).ok().map(|(_, claims)| claims)
}

/// Whether the hint speaks of who is logged in here.
fn is_meant(identity: &Identity, session: &Session, hint: Option<&IdToken>) -> bool {
    let (Some(hint), Some(login)) = (hint, &session.data.login) else { return false };
    let client = identity.inner.config.client(&hint.aud);
    client.is_some_and(|client| identity.subject(login, client) == hint.sub)
}

/// Where to go afterwards: only to an address registered by the client, compared exactly.
fn target(
    identity: &Identity,
    visit: &Visit,
    form: &LogoutForm,
    hint: Option<&IdToken>,
) -> Result<Option<String>, Problem> {
    if form.post_logout_redirect_uri.is_empty() {
        return Ok(None);
    }
    let id = hint.map_or(form.client_id.as_str(), |hint| hint.aud.as_str());
    let client: Option<&Client> = identity.inner.config.client(id);
    let uri = &form.post_logout_redirect_uri;
    if !client.is_some_and(|client| client.post_logout_redirect_uris.contains(uri)) {
        return Err(person_problem(visit, StatusCode::BAD_REQUEST, "invalid_request", "identity-request")
            .detail("post_logout_redirect_uri must equal a registered URI character by character"));
    }
    let joint = if uri.contains('?') { '&' } else { '?' };
    let state = form_text(&[("state", &form.state)]);
    Ok(Some(if form.state.is_empty() { uri.clone() } else { format!("{uri}{joint}{state}") }))
}

fn left(
    identity: &Identity,
    visit: &Visit,
    target: Option<String>,
    cookie: Option<HeaderValue>,
) -> Result<Response, Problem> {
    if let Some(target) = target {
        return Ok(see_other(&target, cookie));
    }
    let title = visit.t("identity-logged-out-title");
    let body = MessageBody {
        title: title.clone(),
        paragraphs: vec![visit.t("identity-logged-out-text")],
        form: None,
        links: vec![(identity.inner.config.portal_url.clone(), visit.t("identity-home-portal"))],
    };
    let page = visit.page(title, &body)?;
    Ok(match cookie {
        Some(cookie) => page.header(SET_COOKIE, cookie).into_response(),
        None => page.into_response(),
    })
}
