//! Coming and going: the portal as a relying party.

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use http::header::SET_COOKIE;
use identity::client::Scope;
use identity::rp::{Ask, Callback, Outcome, RpError};
use serde::Deserialize;
use web::{Form, Params, Problem, Visit};

use crate::http::{At, Citizen, Known, Memory};

/// Sends the browser to the identity provider; `?next=` names the page to come back to.
pub(crate) async fn begin(
    State(portal): At,
    visit: Visit,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let next = own_path(params.get("next").unwrap_or("/"));
    let ask = Ask { scopes: vec![Scope::Profile, Scope::Person], locale: visit.locale, ..Ask::default() };
    let begun = portal.party.begin(&ask).await.map_err(|error| failed(&visit, &error))?;
    let memory = Memory { pending: Some((begun.pending, next)), ..Memory::default() };
    let (_, cookie) = match portal.sessions.load(&headers).await? {
        Some(old) => portal.sessions.renew(&old, memory).await?,
        None => portal.sessions.start(memory).await?,
    };
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&begun.redirect)).into_response())
}

/// The browser comes back from the identity provider.
pub(crate) async fn callback(
    State(portal): At,
    visit: Visit,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Problem> {
    let session = portal.sessions.load(&headers).await?;
    let Some((session, (pending, next))) =
        session.and_then(|session| session.data.pending.clone().map(|pending| (session, pending)))
    else {
        return Err(failed(&visit, &RpError::Foreign("session")));
    };
    let outcome = portal.party.finish(&pending, &callback).await.map_err(|error| failed(&visit, &error))?;
    let (memory, next) = match outcome {
        Outcome::Refused => {
            (Memory { notice: Some("portal-notice-refused".to_owned()), ..Memory::default() }, "/".to_owned())
        }
        Outcome::LoggedIn(login) => {
            let (Some(person), Some(number)) = (login.person, login.national_number) else {
                return Err(Problem::internal(
                    "the identity provider gave no person: is the scope `person` registered?",
                ));
            };
            let name = login.name.unwrap_or_else(|| number.grouped());
            let known = Known { person, number, name, id_token: login.id_token };
            (Memory { citizen: Some(known), ..Memory::default() }, next)
        }
    };
    let (_, cookie) = portal.sessions.renew(&session, memory).await?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

/// The logout form.
#[derive(Deserialize)]
pub(crate) struct Leave {
    csrf: String,
}

/// Ends the session here and at the identity provider.
pub(crate) async fn logout(State(portal): At, citizen: Citizen, Form(form): Form<Leave>) -> Result<Response, Problem> {
    citizen.session.verify_csrf(&form.csrf)?;
    let cookie = portal.sessions.end(&citizen.session).await?;
    let home = format!("{}/", portal.config.public_url.trim_end_matches('/'));
    let target = match portal.party.logout_url(&citizen.known.id_token, &home).await {
        Ok(url) => url,
        Err(error) => {
            tracing::warn!(%error, "the session ended here, but the identity provider could not be asked to end its own");
            home
        }
    };
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&target)).into_response())
}

/// A path of this site, for `next`: anything else (another host, a scheme, control characters) becomes the home page.
pub(crate) fn own_path(next: &str) -> String {
    let own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.len() <= 1_000
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if own { next.to_owned() } else { "/".to_owned() }
}

fn failed(visit: &Visit, error: &RpError) -> Problem {
    let problem = match error {
        RpError::Foreign(_) => {
            Problem::bad_request("The login was begun in another browser or too long ago. Start again.")
        }
        RpError::Http(_) | RpError::Discovery { .. } => Problem::unavailable(error),
        RpError::Provider { .. } | RpError::IdToken(_) | RpError::Jose(_) => Problem::internal(error),
    };
    problem.cause(error).for_people(visit.t("portal-login-failed-title"), visit.t("portal-login-failed-text"))
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn a_login_never_leads_to_another_site() {
        assert_eq!(own_path("/consultations?period=year"), "/consultations?period=year");
        for foreign in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\nb", "javascript:1"] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
    }
}
