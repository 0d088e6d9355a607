use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use civic::Locale;
use http::HeaderMap;
use serde::Deserialize;
use web::{Form, Params, Problem, Visit};

use super::{FlowForm, Step, ended, ours, see_other};
use crate::finish::Need;
use crate::identity::Identity;
use crate::notice::Notice;

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentBody<'a> {
    v: &'a Visit,
    changed: bool,
    notice: &'a Notice,
    csrf: String,
    flow: String,
    name: String,
}

/// The answer of the citizen.
#[derive(Debug, Deserialize)]
pub(super) struct ConsentForm {
    #[serde(flatten)]
    flow: FlowForm,
    #[serde(default)]
    answer: String,
    /// The digest of the text that was on the screen.
    #[serde(default)]
    notice: String,
    /// The language of that text.
    #[serde(default)]
    locale: String,
}

/// `GET /consent`: the question.
pub(super) async fn page(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let step = Step::find(&identity, &visit, &headers, params.get("flow").unwrap_or_default()).await?;
    let login = step.session.data.login.clone();
    let (Need::Consent, Some(login)) = (identity.need(&step.flow, login.as_ref()), login) else {
        return Ok(see_other(&step.path("/continue"), None));
    };
    let Some(notice) = identity.notice(&step.flow.request, visit.locale) else {
        return Ok(see_other(&step.path("/continue"), None));
    };
    let account = identity.inner.tables.account(&login.person).await.map_err(ours)?;
    let body = ConsentBody {
        v: &visit,
        changed: params.get("changed").is_some(),
        notice: &notice,
        csrf: step.session.csrf(),
        flow: step.id.clone(),
        name: account.map(|account| account.display_name).unwrap_or_default(),
    };
    Ok(step.page(&visit, &visit.t("identity-consent-title"), &body)?.into_response())
}

/// `POST /consent`: yes or no. Anything but a clear yes to the text shown is a no, or shows the text again.
pub(super) async fn answer(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<ConsentForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form.flow).await?;
    let login = step.session.data.login.clone();
    let (Need::Consent, Some(login)) = (identity.need(&step.flow, login.as_ref()), login) else {
        return Ok(see_other(&step.path("/continue"), None));
    };
    let ending = if form.answer == "allow" {
        let locale = Locale::from_tag(&form.locale).unwrap_or(visit.locale);
        identity.end_with_consent(&step.flow, &login, locale, &form.notice).await
    } else {
        identity.end_with_refusal(&step.flow, Some(&login)).await
    };
    ended(&visit, &step, ending.map_err(ours)?)
}

/// `POST /cancel`: back to the site before or instead of logging in; for the client it is a refusal.
pub(super) async fn cancel(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<FlowForm>,
) -> Result<Response, Problem> {
    let step = Step::of_form(&identity, &visit, &headers, &form).await?;
    let ending = identity.end_with_refusal(&step.flow, None).await.map_err(ours)?;
    ended(&visit, &step, ending)
}
