//! The only file of the bank with axum: its pages, the way back from the identity provider, the proofs.

use std::sync::Arc;

use ::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, SET_COOKIE};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use ::store::Store;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use civic::{Locale, Purpose, SharedClock, SharedRandom, random_hex};
use identity::details::BridgeService;
use identity::rp::{Ask, Callback, Outcome as LoginOutcome, RelyingParty, RpError};
use serde::{Deserialize, Serialize};
use web::{Form, FormErrors, Page, Problem, Session, Sessions, Visit};

use super::application::{self, Access, Application, Call, Loan, MONTHS, Outcome, PROJECTS};
use super::node::{Node, Part};
use super::pages;
use super::store::{self, BankError};

/// For how long and how often the bank asks to read the income.
pub(super) const VALID_FOR_DAYS: u32 = 30;
pub(super) const USES: u32 = 3;

/// The bank at work.
pub(super) struct Bank {
    pub(super) store: Store,
    pub(super) sessions: Sessions<Visitor>,
    pub(super) relying_party: RelyingParty,
    pub(super) node: Node,
    pub(super) year: u16,
    pub(super) clock: SharedClock,
    pub(super) random: SharedRandom,
}

/// What a session remembers: under which name its requests are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Visitor {
    id: String,
}

type Here = State<Arc<Bank>>;

/// The routes of the bank.
pub(super) fn router(bank: Bank) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/loan", get(loan).post(ask_for_loan))
        .route("/callback", get(callback))
        .route("/applications/{id}", get(application_page))
        .route("/applications/{id}/consent", post(ask_consent))
        .route("/applications/{id}/again", post(call_again))
        .route("/back-office", get(back_office))
        .route("/calls/{id}/proof/{part}", get(proof))
        .with_state(Arc::new(bank))
}

async fn home(State(bank): Here, visit: Visit, headers: HeaderMap) -> Result<Page, Problem> {
    let applications = match bank.sessions.load(&headers).await? {
        Some(session) => store::applications(&bank.store, &session.data.id).await?,
        None => Vec::new(),
    };
    pages::home(&visit, &applications)
}

async fn loan(State(bank): Here, visit: Visit, headers: HeaderMap) -> Result<Page, Problem> {
    let (session, cookie) = if let Some(session) = bank.sessions.load(&headers).await? {
        (session, None)
    } else {
        let visitor = Visitor { id: random_hex::<16>(bank.random.as_ref()) };
        let (session, cookie) = bank.sessions.start(visitor).await?;
        (session, Some(cookie))
    };
    let page = pages::loan(&visit, &LoanForm::default(), &FormErrors::none(), &session.csrf())?;
    Ok(match cookie {
        Some(cookie) => page.header(SET_COOKIE, cookie),
        None => page,
    })
}

/// The form of a loan, as typed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoanForm {
    pub(super) amount: String,
    pub(super) months: String,
    pub(super) project: String,
    csrf: String,
}

impl LoanForm {
    /// The loan, or what is wrong field by field.
    fn read(&self, visit: &Visit) -> Result<Loan, FormErrors> {
        let mut errors = FormErrors::none();
        let digits: String =
            self.amount.chars().filter(|typed| !typed.is_whitespace() && !matches!(typed, '.' | ',')).collect();
        let amount = digits.parse::<i64>().ok().filter(|amount| application::AMOUNTS.contains(amount));
        if amount.is_none() {
            let bounds = [
                ("least", visit.number(application::AMOUNTS.start()).into()),
                ("most", visit.number(application::AMOUNTS.end()).into()),
            ];
            errors.add("amount", visit.t_with("bank-amount-error", &bounds));
        }
        let months = self.months.parse::<u16>().ok().filter(|months| MONTHS.contains(months));
        if months.is_none() {
            errors.add("months", visit.t("bank-months-error"));
        }
        let project = PROJECTS.contains(&self.project.as_str()).then(|| self.project.clone());
        if project.is_none() {
            errors.add("project", visit.t("bank-project-error"));
        }
        match (amount, months, project) {
            (Some(amount), Some(months), Some(project)) => Ok(Loan { amount, months, project }),
            _ => Err(errors),
        }
    }
}

async fn ask_for_loan(
    State(bank): Here,
    visit: Visit,
    headers: HeaderMap,
    Form(form): Form<LoanForm>,
) -> Result<Response, Problem> {
    let session = bank.session(&headers).await?;
    session.verify_csrf(&form.csrf)?;
    let loan = match form.read(&visit) {
        Ok(loan) => loan,
        Err(errors) => {
            let page = pages::loan(&visit, &form, &errors, &session.csrf())?;
            return Ok(page.status(StatusCode::UNPROCESSABLE_ENTITY).into_response());
        }
    };
    let application = Application {
        id: random_hex::<16>(bank.random.as_ref()),
        locale: visit.locale,
        loan,
        state: application::State::Asked(None),
        income: None,
        created_at: bank.clock.now(),
    };
    let id = application.id.clone();
    store::add(&bank.store, &session.data.id, application).await?;
    bank.send_to_consent(&id, visit.locale, &visit).await
}

/// The fields of a form that is a single button.
#[derive(Deserialize)]
struct Button {
    #[serde(default)]
    csrf: String,
}

async fn ask_consent(
    State(bank): Here,
    visit: Visit,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(button): Form<Button>,
) -> Result<Response, Problem> {
    let session = bank.session(&headers).await?;
    session.verify_csrf(&button.csrf)?;
    let application = bank.application(&session, &id).await?;
    bank.send_to_consent(&application.id, visit.locale, &visit).await
}

async fn call_again(
    State(bank): Here,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(button): Form<Button>,
) -> Result<Redirect, Problem> {
    let session = bank.session(&headers).await?;
    session.verify_csrf(&button.csrf)?;
    let application = bank.application(&session, &id).await?;
    let application::State::Agreed(access) = &application.state else {
        return Err(Problem::conflict("The citizen has not agreed: ask for the consent first."));
    };
    if bank.clock.now() < access.until {
        bank.call(&application.id, access).await?;
    }
    Ok(Redirect::to(&format!("/applications/{}", application.id)))
}

async fn callback(
    State(bank): Here,
    visit: Visit,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Problem> {
    let session = bank.session(&headers).await?;
    let (id, outcome) = bank.finish(&session, &callback, &visit).await?;
    match outcome {
        LoginOutcome::Refused => {
            store::set_state(&bank.store, &id, &application::State::Refused, bank.clock.now()).await?;
        }
        LoginOutcome::LoggedIn(login) => {
            let access = Box::new(Access::from(*login));
            let agreed = application::State::Agreed(access.clone());
            store::set_state(&bank.store, &id, &agreed, bank.clock.now()).await?;
            bank.call(&id, &access).await?;
        }
    }
    // The session now leads to an income: an id known from before must not.
    let (_, cookie) = bank.sessions.renew(&session, session.data.clone()).await?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&format!("/applications/{id}"))).into_response())
}

async fn application_page(
    State(bank): Here,
    visit: Visit,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Page, Problem> {
    let session = bank.session(&headers).await?;
    let application = bank.application(&session, &id).await?;
    let calls = store::calls(&bank.store, &session.data.id, Some(&application.id)).await?;
    pages::application(&visit, &application, &calls, bank.clock.now(), &session.csrf())
}

async fn back_office(State(bank): Here, visit: Visit, headers: HeaderMap) -> Result<Page, Problem> {
    let calls = match bank.sessions.load(&headers).await? {
        Some(session) => store::calls(&bank.store, &session.data.id, None).await?,
        None => Vec::new(),
    };
    pages::back_office(&visit, &calls, &bank.node)
}

async fn proof(
    State(bank): Here,
    Path((id, part)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session = bank.session(&headers).await?;
    let part = match part.as_str() {
        "request" => Part::Request,
        "response" => Part::Response,
        _ => return Err(Problem::not_found()),
    };
    let calls = store::calls(&bank.store, &session.data.id, None).await?;
    let Some((_, call)) = calls.into_iter().find(|(_, call)| call.id == id) else {
        return Err(Problem::not_found());
    };
    let reply = bank.node.proof(&call.id, part).await.map_err(Problem::unavailable)?;
    let kind = reply.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let archive = kind.as_bytes().starts_with(b"application/zip");
    let name = format!("{}-{}.{}", call.id, part.name(), if archive { "zip" } else { "asice" });
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).map_err(Problem::internal)?;
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, disposition)], reply.body).into_response())
}

impl Bank {
    /// The session of a request, which must have one.
    async fn session(&self, headers: &HeaderMap) -> Result<Session<Visitor>, Problem> {
        let session = self.sessions.load(headers).await?;
        session
            .ok_or_else(|| Problem::unauthorized("The session has ended. Begin again on the first page of the bank."))
    }

    /// A request of this session; another's is not found.
    async fn application(&self, session: &Session<Visitor>, id: &str) -> Result<Application, Problem> {
        store::application(&self.store, &session.data.id, id).await?.ok_or_else(Problem::not_found)
    }

    /// Begins the consent and sends the browser to the identity provider.
    async fn send_to_consent(&self, id: &str, locale: Locale, visit: &Visit) -> Result<Response, Problem> {
        let purpose = Purpose { code: "credit-application".to_owned(), text: visit.t("bank-purpose") };
        let service = self.node.service.clone();
        let details = BridgeService::new(service, &application::FIELDS, &[self.year], purpose, VALID_FOR_DAYS, USES);
        let ask = Ask { details: Some(details), locale, ..Ask::default() };
        let begun = self.relying_party.begin(&ask).await.map_err(|error| provider_problem(&error, visit))?;
        let asked = application::State::Asked(Some(Box::new(begun.pending)));
        store::set_state(&self.store, id, &asked, self.clock.now()).await?;
        Ok(Redirect::to(&begun.redirect).into_response())
    }

    /// Finds the request that the browser comes back for, and ends its login. With several windows open, the state says
    /// which one it is.
    async fn finish(
        &self,
        session: &Session<Visitor>,
        callback: &Callback,
        visit: &Visit,
    ) -> Result<(String, LoginOutcome), Problem> {
        for application in store::applications(&self.store, &session.data.id).await? {
            let application::State::Asked(Some(pending)) = &application.state else { continue };
            match self.relying_party.finish(pending, callback).await {
                Ok(outcome) => return Ok((application.id, outcome)),
                Err(RpError::Foreign("state")) => {}
                Err(error) => return Err(provider_problem(&error, visit)),
            }
        }
        Err(Problem::conflict("This answer of the identity provider was used already, or belongs to another session.")
            .for_people(visit.t("bank-stale-title"), visit.t("bank-stale-text")))
    }

    /// Calls the tax office and notes what came of it.
    async fn call(&self, id: &str, access: &Access) -> Result<(), Problem> {
        let message_id = self.node.message_id(self.random.as_ref());
        let called_at = self.clock.now();
        let answer = self.node.income(self.year, &access.token, &message_id).await;
        let took = self.clock.now().since(called_at).as_micros();
        let call = Call {
            id: message_id,
            called_at,
            took_us: i64::try_from(took).unwrap_or(i64::MAX),
            outcome: answer.outcome,
            reference: answer.reference,
        };
        debug_assert!(answer.income.is_none() || answer.outcome == Outcome::Answered);
        Ok(store::note_call(&self.store, id, call, answer.income).await?)
    }
}

/// What the citizen is told when the identity provider does not do its part.
fn provider_problem(error: &RpError, visit: &Visit) -> Problem {
    match error {
        RpError::Foreign(_) => {
            Problem::conflict(error.to_string()).for_people(visit.t("bank-stale-title"), visit.t("bank-stale-text"))
        }
        _ => Problem::unavailable(error).for_people(visit.t("bank-provider-title"), visit.t("bank-provider-text")),
    }
}

impl From<BankError> for Problem {
    fn from(error: BankError) -> Self {
        match error {
            BankError::Store(error) => Self::unavailable(error),
            BankError::Row { .. } => Self::internal(error),
        }
    }
}
