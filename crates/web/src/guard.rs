//! What happens around every request of a site.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use civic::{Locale, random_hex};
use futures_util::FutureExt;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{Problem, Site, Visit};

/// The cookie that remembers the language; shared by all sites of a host on purpose.
pub(crate) const LANGUAGE_COOKIE: &str = "baobab_lang";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    site: &'static str,
    status: u16,
}

/// Counts and durations of the requests of a site.
#[derive(Clone, Debug)]
pub struct WebMetrics {
    site: &'static str,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
}

impl WebMetrics {
    /// Registers `baobab_web_requests_total` and `baobab_web_request_seconds` for a site.
    pub fn register(site: &'static str, registry: &mut Registry) -> Self {
        let requests = Family::<Labels, Counter>::default();
        let seconds = Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]);
        registry.register("baobab_web_requests", "Requests answered, by status", requests.clone());
        registry.register("baobab_web_request_seconds", "Time from request head to response head", seconds.clone());
        Self { site, requests, seconds }
    }
}

/// The guard itself, a middleware of axum.
pub(crate) async fn guard(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = random_hex::<8>(site.random.as_ref());
    let asked = language_asked(&request);
    let locale = asked.unwrap_or_else(|| language_known(request.headers()));
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let visit = Visit::new(Arc::clone(&site), locale, &path, &request_id);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("(no route)", MatchedPath::as_str).to_owned();
    let wants_page = wants_page(request.headers());

    let refused = refuse_foreign_post(&site, &request);
    request.extensions_mut().insert(visit.clone());
    let mut response = match refused {
        Some(problem) => problem.into_response(),
        None => run(&site, request, next).await,
    };

    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem = response.extensions_mut().remove::<Problem>();
        log_failure(&request_id, &method, &route, status, problem.as_ref());
        if let Some(problem) = problem {
            response =
                if wants_page { problem_page(&visit, &problem) } else { problem.json_response(Some(&request_id)) };
        }
    }
    put_headers(&site, &mut response, &request_id, asked);
    if let Some(metrics) = &site.metrics {
        metrics.requests.get_or_create(&Labels { site: metrics.site, status: status.as_u16() }).inc();
        metrics.seconds.observe(began.elapsed().as_secs_f64());
    }
    response
}

/// 405 in the shape of the house.
pub(crate) fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not offered here")
        .detail("Use one of the methods of the Allow header.")
}

async fn run(site: &Site, request: Request, next: Next) -> Response {
    match tokio::time::timeout(site.timeout, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let words = panic
                .downcast_ref::<&str>()
                .map(|words| (*words).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no words".to_owned());
            Problem::internal(format!("a handler panicked: {words}")).into_response()
        }
        Err(_) => Problem::unavailable(format!("a handler took longer than {:?}", site.timeout)).into_response(),
    }
}

/// Refuses a browser's request from another site that would change something (Fetch Metadata, else Origin).
/// A request with neither header comes from a program or a very old browser; the form's token still guards it.
fn refuse_foreign_post(site: &Site, request: &Request) -> Option<Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return None;
    }
    let path = request.uri().path();
    if site.machine_paths.iter().any(|exempt| path == exempt || path.starts_with(&format!("{exempt}/"))) {
        return None;
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let allowed = match (header("sec-fetch-site"), header(ORIGIN.as_str())) {
        (Some(fetch_site), _) => matches!(fetch_site, "same-origin" | "none"),
        (None, Some(origin)) => origin == site.public_url,
        (None, None) => true,
    };
    (!allowed).then(|| {
        Problem::new(StatusCode::FORBIDDEN, "foreign_origin", "The form was sent from another site")
            .detail("Open the page on this site and send the form from there.")
    })
}

fn language_asked(request: &Request) -> Option<Locale> {
    let query = request.uri().query()?;
    query.split('&').filter_map(|pair| pair.strip_prefix("lang=")).find_map(Locale::from_tag)
}

fn language_known(headers: &HeaderMap) -> Locale {
    cookie(headers, LANGUAGE_COOKIE).and_then(Locale::from_tag).unwrap_or_else(|| {
        Locale::negotiate(headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default())
    })
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(known, value)| (known == name).then_some(value))
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

fn log_failure(request_id: &str, method: &Method, route: &str, status: StatusCode, problem: Option<&Problem>) {
    let status = status.as_u16();
    let code = problem.map_or("-", Problem::code);
    let cause = problem.and_then(Problem::inner_cause).unwrap_or("-");
    if status >= 500 {
        tracing::error!(request_id, %method, route, status, code, cause, "a request failed");
    } else if status == 404 || status == 401 {
        tracing::debug!(request_id, %method, route, status, code, cause, "a request was refused");
    } else {
        tracing::info!(request_id, %method, route, status, code, cause, "a request was refused");
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemBody<'a> {
    title: &'a str,
    text: &'a str,
    reference_label: String,
    reference: &'a str,
    home: &'a str,
    home_label: String,
}

fn problem_page(visit: &Visit, problem: &Problem) -> Response {
    let status = problem.status();
    let number = match status.as_u16() {
        known @ (400 | 401 | 403 | 404 | 405 | 409 | 413 | 429 | 500 | 503) => known,
        502 | 504 => 503,
        other if other >= 500 => 500,
        _ => 400,
    };
    let (title, text) = problem.people().cloned().unwrap_or_else(|| {
        (visit.t(&format!("web-problem-{number}-title")), visit.t(&format!("web-problem-{number}-text")))
    });
    let body = ProblemBody {
        title: &title,
        text: &text,
        reference_label: visit.t("web-reference"),
        reference: visit.request_id(),
        home: &visit.site().home,
        home_label: visit.t("web-home"),
    };
    match visit.page(title.clone(), &body) {
        Ok(page) => {
            let mut response = page.status(status).into_response();
            problem.put_headers(&mut response);
            response
        }
        Err(worse) => worse.json_response(Some(visit.request_id())),
    }
}

fn put_headers(site: &Site, response: &mut Response, request_id: &str, asked: Option<Locale>) {
    const PERMISSIONS: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=()";
    let headers = response.headers_mut();
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, site.form_action.policy());
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS));
    if site.secure() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains"));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(locale) = asked {
        let secure = if site.secure() { "; Secure" } else { "" };
        let cookie =
            format!("{LANGUAGE_COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly{secure}", locale.tag());
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
}
