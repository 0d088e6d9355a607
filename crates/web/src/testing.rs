//! For tests of pages: a browser without a screen, and the faults that no page may have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use tower::ServiceExt;

use crate::client::form_text;

/// The most bytes that the HTML of a page may have: one initial TCP window.
pub const PAGE_BYTES_MAX: usize = 14 * 1024;

/// A browser with a cookie jar that talks to a router in the same process and follows no redirect by itself.
#[derive(Clone, Debug)]
pub struct Browser {
    router: Router,
    cookies: BTreeMap<String, String>,
    language: &'static str,
}

/// What the browser got.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// Where a redirect leads; empty where it is none.
    pub fn location(&self) -> String {
        self.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// The token of the first form of the page; empty where there is none.
    pub fn csrf(&self) -> String {
        let after = self.body.split("name=\"csrf\" value=\"").nth(1).unwrap_or_default();
        after.split('"').next().unwrap_or_default().to_owned()
    }
}

impl Browser {
    /// A browser that reads French.
    pub fn new(router: Router) -> Self {
        Self { router, cookies: BTreeMap::new(), language: "fr" }
    }

    /// The same browser with another first language (`en`).
    #[must_use]
    pub const fn reads(mut self, language: &'static str) -> Self {
        self.language = language;
        self
    }

    /// Puts a cookie into the jar: `name=value`.
    #[must_use]
    pub fn with_cookie(mut self, pair: &str) -> Self {
        if let Some((name, value)) = pair.split_once('=') {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Opens a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, String::new(), &[]).await
    }

    /// Sends a form from a page of the same site.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, path, form_text(fields), &[("sec-fetch-site", "same-origin")]).await
    }

    /// Sends a form from a page of another site.
    pub async fn post_from_elsewhere(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, path, form_text(fields), &[("sec-fetch-site", "cross-site")]).await
    }

    /// Any request with extra headers.
    pub async fn send(&mut self, method: Method, path: &str, body: String, headers: &[(&str, &str)]) -> Answer {
        let jar = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, "text/html,application/xhtml+xml")
            .header(ACCEPT_LANGUAGE, self.language)
            .header(COOKIE, jar);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str())) {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let Ok(request) = request.body(Body::from(body)) else { return Answer::nothing() };
        let Ok(response) = self.router.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        for line in parts.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let bytes = to_bytes(body, 16 * 1024 * 1024).await.unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

impl Answer {
    fn nothing() -> Self {
        Self { status: StatusCode::IM_A_TEAPOT, headers: HeaderMap::new(), body: String::new() }
    }
}

/// What is wrong with a page: language, heading, labels, inline code, foreign origins, dangling ids, weight.
/// Empty for a page that may go out.
pub fn faults(html: &str) -> Vec<String> {
    let tags = tags(html);
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, words: String| {
        if wrong {
            faults.push(words);
        }
    };
    fault(html.len() > PAGE_BYTES_MAX, format!("the page weighs {} bytes, more than {PAGE_BYTES_MAX}", html.len()));
    fault(!html.starts_with("<!DOCTYPE html>"), "no document type".to_owned());
    let lang = tags.iter().find(|tag| tag.name == "html").and_then(|tag| tag.get("lang"));
    fault(!matches!(lang, Some("fr" | "en")), format!("the language is {lang:?}"));
    for name in ["h1", "main", "title"] {
        let count = tags.iter().filter(|tag| tag.name == name).count();
        fault(count != 1, format!("{count} <{name}> instead of one"));
    }
    let mut ids = BTreeSet::new();
    for id in tags.iter().filter_map(|tag| tag.get("id")) {
        fault(!ids.insert(id), format!("the id {id} stands twice"));
    }
    let labels: BTreeSet<&str> =
        tags.iter().filter(|tag| tag.name == "label").filter_map(|tag| tag.get("for")).collect();
    for tag in &tags {
        for wrong in tag.faults(&ids, &labels) {
            fault(true, wrong);
        }
    }
    faults
}

struct Tag<'a> {
    name: String,
    attributes: Vec<(String, &'a str)>,
}

impl Tag<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn faults(&self, ids: &BTreeSet<&str>, labels: &BTreeSet<&str>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut shown = format!("<{}", self.name);
        for (name, value) in &self.attributes {
            // Writing to a String cannot fail.
            let _ = write!(shown, " {name}={value:?}");
        }
        let control = matches!(self.name.as_str(), "input" | "select" | "textarea");
        if control && self.get("type") != Some("hidden") && !self.get("id").is_some_and(|id| labels.contains(id)) {
            faults.push(format!("{shown}> has no label"));
        }
        if self.name == "style" || (self.name == "script" && self.get("src").is_none()) {
            faults.push(format!("{shown}> is inline"));
        }
        if self.name == "img" && self.get("alt").is_none() {
            faults.push(format!("{shown}> has no alt"));
        }
        for (name, value) in &self.attributes {
            let inline = name == "style" || name.starts_with("on") || value.starts_with("javascript:");
            if inline {
                faults.push(format!("{shown}> holds inline code or style"));
            }
            let foreign = value.starts_with("http:") || value.starts_with("https:") || value.starts_with("//");
            if foreign && (name == "src" || (self.name == "link" && name == "href")) {
                faults.push(format!("{shown}> loads from another origin"));
            }
            let target = if name == "href" { value.strip_prefix('#') } else { None };
            let described = if name == "aria-describedby" || name == "for" { *value } else { "" };
            for id in target.into_iter().chain(described.split_whitespace()) {
                if !ids.contains(id) {
                    faults.push(format!("{shown}> points to {id}, which is not on the page"));
                }
            }
        }
        faults
    }
}

/// The opening tags of a page that askama wrote: attribute values stand in double quotes and hold no `<`.
fn tags(html: &str) -> Vec<Tag<'_>> {
    html.split('<')
        .skip(1)
        .filter(|part| part.starts_with(|first: char| first.is_ascii_alphabetic()))
        .map(tag)
        .collect()
}

fn tag(part: &str) -> Tag<'_> {
    let end = part.find([' ', '>', '\n', '/']).unwrap_or(part.len());
    let (name, mut rest) = part.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\n', '/']);
        if rest.is_empty() || rest.starts_with('>') {
            break;
        }
        let stop = rest.find(['=', ' ', '>', '\n']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(stop);
        let (value, after) = match after.strip_prefix("=\"") {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => ("", after),
        };
        attributes.push((key.to_ascii_lowercase(), value));
        rest = after;
    }
    Tag { name: name.to_ascii_lowercase(), attributes }
}
