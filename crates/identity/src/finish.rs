//! How a flow ends: with a code, or with an error that the client understands. Both carry `state` and `iss` (RFC 9207).

use civic::Locale;
use web::form_text;

use crate::assurance::Authentication;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::notice::Notice;
use crate::request::{AuthorizationRequest, Prompt};
use crate::store::{Flow, Step};

/// What a logged-in browser still has to do in its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Log in, or log in again.
    Login,
    /// A stronger login than the present one.
    Stronger,
    /// Say yes or no.
    Consent,
    /// Nothing.
    Nothing,
}

/// What became of an answer.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Send the browser there.
    Redirect(String),
    /// The request was answered before, for instance by a second click.
    AlreadyAnswered,
    /// The screen has changed since it was shown: show it again.
    NoticeChanged,
}

impl Identity {
    /// What this login still lacks for this flow.
    pub(crate) fn need(&self, flow: &Flow, login: Option<&Authentication>) -> Need {
        let Some(login) = login else { return Need::Login };
        let request = &flow.request;
        let in_this_flow = flow.step == Step::Done && login.at >= flow.created_at;
        let age = self.inner.clock.now().since(login.at).as_secs();
        let is_old = request.max_age_seconds.is_some_and(|max| age > max);
        let is_weak = request.acr.is_some_and(|acr| login.acr < acr);
        // A site of somebody else that asks for no service shows no screen of its own: it gets no silent login, or it could
        // recognise citizens who pass by.
        let client = self.inner.config.client(&request.client_id);
        let is_silent = request.details.is_none() && !client.is_some_and(|client| client.first_party);
        if !in_this_flow && (request.prompt == Prompt::Login || is_old || is_weak || is_silent) {
            return Need::Login;
        }
        let Some(details) = &request.details else { return Need::Nothing };
        let acr_min = self.inner.config.notice(&details.service).map(|notice| notice.acr_min);
        if acr_min.is_some_and(|acr_min| login.acr < acr_min) { Need::Stronger } else { Need::Consent }
    }

    /// The consent screen of a flow; `None` where nothing is asked.
    pub(crate) fn notice(&self, request: &AuthorizationRequest, locale: Locale) -> Option<Notice> {
        let config = &self.inner.config;
        let client = config.client(&request.client_id)?;
        Notice::of(request.details.as_ref()?, client, config, &self.inner.messages, locale)
    }

    /// The citizen is logged in and nothing is asked: the code.
    pub(crate) async fn end_with_login(&self, flow: &Flow, login: &Authentication) -> Result<Ending, IdentityError> {
        if !self.inner.tables.spend_request(flow.uri_hash.clone(), self.inner.clock.now()).await? {
            return Ok(Ending::AlreadyAnswered);
        }
        let code = self.issue_code(&flow.request, login.clone(), None).await?;
        Ok(Ending::Redirect(self.answer_url(&flow.request, &[("code", &code)])))
    }

    /// The citizen said yes to the screen with this digest: the grant, then the code.
    pub(crate) async fn end_with_consent(
        &self,
        flow: &Flow,
        login: &Authentication,
        locale: Locale,
        shown: &str,
    ) -> Result<Ending, IdentityError> {
        let Some(notice) = self.notice(&flow.request, locale) else { return Ok(Ending::NoticeChanged) };
        let hash = notice.hash();
        if hash != shown {
            return Ok(Ending::NoticeChanged);
        }
        let now = self.inner.clock.now();
        if !self.inner.tables.spend_request(flow.uri_hash.clone(), now).await? {
            return Ok(Ending::AlreadyAnswered);
        }
        self.inner.tables.put_notice(&hash, locale, notice.text(), now).await?;
        let grant = self.record_grant(&flow.request, login, locale, &hash).await?;
        let event = self.event(&login.person, "consent_given", Some(&flow.request.client_id), Some(login.acr));
        self.inner.tables.record(event, now).await?;
        let code = self.issue_code(&flow.request, login.clone(), Some(grant)).await?;
        Ok(Ending::Redirect(self.answer_url(&flow.request, &[("code", &code)])))
    }

    /// The citizen said no, before or after logging in. A normal outcome.
    pub(crate) async fn end_with_refusal(
        &self,
        flow: &Flow,
        login: Option<&Authentication>,
    ) -> Result<Ending, IdentityError> {
        let now = self.inner.clock.now();
        if !self.inner.tables.spend_request(flow.uri_hash.clone(), now).await? {
            return Ok(Ending::AlreadyAnswered);
        }
        if let Some(login) = login {
            let event = self.event(&login.person, "consent_refused", Some(&flow.request.client_id), Some(login.acr));
            self.inner.tables.record(event, now).await?;
        }
        Ok(Ending::Redirect(self.error_url(&flow.request, "access_denied", "the citizen refused")))
    }

    /// The answer to `prompt=none` where a page would be needed (OpenID Connect Core §3.1.2.6).
    pub(crate) async fn end_silently(
        &self,
        flow: &Flow,
        login: Option<&Authentication>,
    ) -> Result<Ending, IdentityError> {
        let (error, text) = match self.need(flow, login) {
            Need::Login => ("login_required", "nobody is logged in as the request needs it"),
            Need::Stronger => ("interaction_required", "a stronger login is needed"),
            Need::Consent => ("consent_required", "the citizen must be asked"),
            Need::Nothing => {
                return match login {
                    Some(login) => self.end_with_login(flow, login).await,
                    None => Ok(Ending::AlreadyAnswered),
                };
            }
        };
        if !self.inner.tables.spend_request(flow.uri_hash.clone(), self.inner.clock.now()).await? {
            return Ok(Ending::AlreadyAnswered);
        }
        Ok(Ending::Redirect(self.error_url(&flow.request, error, text)))
    }

    fn error_url(&self, request: &AuthorizationRequest, error: &str, description: &str) -> String {
        self.answer_url(request, &[("error", error), ("error_description", description)])
    }

    fn answer_url(&self, request: &AuthorizationRequest, fields: &[(&str, &str)]) -> String {
        let mut fields = fields.to_vec();
        fields.extend(request.state.as_deref().map(|state| ("state", state)));
        fields.push(("iss", &self.inner.config.issuer));
        let joint = if request.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", request.redirect_uri, form_text(&fields))
    }
}
