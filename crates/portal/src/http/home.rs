//! The home page, for strangers and for citizens, and how to check a proof.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use web::{Page, Problem, Visit, form_text};

use crate::LedgerNotice;
use crate::http::{At, Citizen, Section};

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome<'a> {
    v: &'a Visit,
    notice: Option<String>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    v: &'a Visit,
    name: &'a str,
    notice: Option<String>,
    cards: Vec<CardView>,
}

struct CardView {
    href: String,
    title: String,
    text: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    v: &'a Visit,
    href: String,
}

#[derive(Template)]
#[template(path = "verify.html")]
struct Verify<'a> {
    v: &'a Visit,
    ledger: Option<&'a LedgerNotice>,
}

/// `/`: what the portal is, or the citizen's own sections.
pub(crate) async fn home(State(portal): At, visit: Visit, headers: HeaderMap) -> Result<Page, Problem> {
    let mut session = portal.sessions.load(&headers).await?;
    let notice = session.as_mut().and_then(|session| session.data.notice.take()).map(|key| visit.t(&key));
    if let (Some(session), Some(_)) = (&session, &notice) {
        portal.sessions.save(session).await?;
    }
    match session.and_then(|session| session.data.citizen.clone().map(|known| (session, known))) {
        Some((session, known)) => {
            let mut cards = own_cards(&visit);
            cards.extend(portal.config.cards.iter().map(|card| CardView {
                href: card.href.clone(),
                title: visit.say(&card.title).to_owned(),
                text: visit.say(&card.text).to_owned(),
            }));
            let citizen = Citizen { known, session, visit };
            let v = &citizen.visit;
            let body = Home { v, name: &citizen.known.name, notice, cards };
            citizen.page(Section::Home, &v.t("portal-title"), &body)
        }
        None => visit.page(visit.t("portal-title"), &Welcome { v: &visit, notice }),
    }
}

/// The page that a stranger gets instead of a personal one; after the login they come back to it.
pub(crate) fn sign_in(visit: &Visit, come_back: bool) -> Response {
    let href = if come_back { format!("/login?{}", form_text(&[("next", visit.path())])) } else { "/login".to_owned() };
    match visit.page(visit.t("portal-sign-in-title"), &SignIn { v: visit, href }) {
        Ok(page) => page.status(StatusCode::UNAUTHORIZED).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// `/verifier`: how to check a proof without trusting this portal.
pub(crate) async fn verify(State(portal): At, visit: Visit) -> Result<Page, Problem> {
    let body = Verify { v: &visit, ledger: portal.config.ledger.as_ref() };
    Ok(visit.page(visit.t("portal-verify-title"), &body)?.back("/consultations"))
}

fn own_cards(visit: &Visit) -> Vec<CardView> {
    [("/mes-donnees", "data"), ("/consultations", "accesses"), ("/autorisations", "grants")]
        .into_iter()
        .map(|(href, name)| CardView {
            href: href.to_owned(),
            title: visit.t(&format!("portal-nav-{name}")),
            text: visit.t(&format!("portal-card-{name}")),
        })
        .collect()
}
