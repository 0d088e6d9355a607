use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use web::{Form, Problem, Visit};

use super::{Step, ended, ours, person_problem, see_other};
use crate::browser::Browser;
use crate::error::ProtocolError;
use crate::identity::{FLOW_LIFETIME, Identity};
use crate::request::{Parameters, Prompt};
use crate::store::{Flow, Step as LoginStep};

/// `GET /.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.
pub(super) async fn discovery(State(identity): State<Identity>) -> Response {
    cacheable(Json(identity.discovery()).into_response())
}

/// `GET /jwks`.
pub(super) async fn jwks(State(identity): State<Identity>) -> Response {
    cacheable(Json(identity.keys()).into_response())
}

/// `POST /par` (RFC 9126 §2).
pub(super) async fn push(State(identity): State<Identity>, Form(pairs): Form<Vec<(String, String)>>) -> Response {
    let answer = async { identity.push(&Parameters::new(pairs)?).await };
    match answer.await {
        Ok((uri, seconds)) => {
            let body = Json(json!({"request_uri": uri, "expires_in": seconds}));
            no_store((StatusCode::CREATED, body).into_response())
        }
        Err(error) => refused(&error),
    }
}

/// `POST /token` (RFC 6749 §4.1.3).
pub(super) async fn token(State(identity): State<Identity>, Form(pairs): Form<Vec<(String, String)>>) -> Response {
    let answer = async { identity.exchange(&Parameters::new(pairs)?).await };
    match answer.await {
        Ok(tokens) => no_store(Json(tokens).into_response()),
        Err(error) => refused(&error),
    }
}

/// `GET` and `POST /userinfo` (OpenID Connect Core §5.3.1).
pub(super) async fn userinfo(State(identity): State<Identity>, headers: HeaderMap) -> Response {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, token)) = header.split_once(' ') else {
        let mut response = refused(&ProtocolError::Token("none was given"));
        // Without any credentials the challenge carries no error code (RFC 6750 §3.1).
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return refused(&ProtocolError::Token("the scheme is Bearer"));
    }
    match identity.userinfo(token.trim()).await {
        Ok(claims) => no_store(Json(claims).into_response()),
        Err(error) => refused(&error),
    }
}

/// `GET /authorize` (RFC 9126 §4): only with the `request_uri` of a pushed request. It can be opened again until it is answered.
pub(super) async fn authorize(
    State(identity): State<Identity>,
    visit: Visit,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (uri_hash, request) =
        read_authorize(&identity, query.as_deref()).await.map_err(|error| refused_page(&visit, &error))?;
    let sessions = &identity.inner.sessions;
    let (session, cookie) = if let Some(session) = sessions.load(&headers).await? {
        (session, None)
    } else {
        let (session, cookie) = sessions.start(Browser::new(identity.secret().0)).await?;
        (session, Some(cookie))
    };
    let now = identity.inner.clock.now();
    let (id, hash) = identity.secret();
    let flow = Flow {
        hash,
        browser: session.data.hash(),
        uri_hash,
        step: LoginStep::Identify,
        created_at: now,
        expires_at: now.plus(FLOW_LIFETIME),
        request,
        is_spent: false,
    };
    identity.inner.tables.put_flow(flow.clone()).await.map_err(ours)?;
    let step = Step { id, flow, session };
    if step.flow.request.prompt == Prompt::None {
        let login = step.session.data.login.clone();
        let ending = identity.end_silently(&step.flow, login.as_ref()).await.map_err(ours)?;
        return ended(&visit, &step, ending);
    }
    let language = step.flow.request.locale.map(|locale| format!("&lang={}", locale.tag())).unwrap_or_default();
    Ok(see_other(&format!("{}{language}", step.path("/continue")), cookie))
}

async fn read_authorize(
    identity: &Identity,
    query: Option<&str>,
) -> Result<(Vec<u8>, crate::request::AuthorizationRequest), ProtocolError> {
    let uri = format!("/?{}", query.unwrap_or_default()).parse::<http::Uri>();
    let uri = uri.map_err(|_| ProtocolError::Parameter { name: "(query)", reason: "it is no query" })?;
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let pairs = pairs.map_err(|_| ProtocolError::Parameter { name: "(query)", reason: "it is no query" })?;
    identity.pushed_request(&Parameters::new(pairs.0)?).await
}

/// The page for a request that cannot be answered by redirect, because nobody knows whose it is.
fn refused_page(visit: &Visit, error: &ProtocolError) -> Problem {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let key = if *error == ProtocolError::RequestUri { "identity-over" } else { "identity-request" };
    person_problem(visit, status, error.code(), key).detail(error.to_string())
}

/// The error as OAuth JSON (RFC 6749 §5.2, RFC 6750 §3).
fn refused(error: &ProtocolError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = Json(json!({"error": error.code(), "error_description": error.to_string()}));
    let mut response = no_store((status, body).into_response());
    if matches!(error, ProtocolError::Token(_)) {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn cacheable(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
