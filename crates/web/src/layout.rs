//! The frame of every page: head, language switch, sections, `main`, foot. No script is needed to use it.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use civic::Locale;
use http::StatusCode;
use http::header::{CONTENT_LANGUAGE, HeaderName, HeaderValue};

use crate::assets::{MARK, STYLE};
use crate::{FormAction, Visit};

/// A page around a body that the caller rendered with askama (which escaped it). Made by [`Visit::page`].
#[derive(Clone, Debug)]
pub struct Page {
    visit: Visit,
    title: String,
    body: String,
    status: StatusCode,
    back: Option<Link>,
    signed_in: Option<SignedIn>,
    navigation: Vec<Link>,
    modules: Vec<String>,
    form_action: Option<FormAction>,
    language_path: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A link of the navigation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it leads.
    pub href: String,
    /// Its words, in the reader's language.
    pub label: String,
    /// Whether it is the page shown.
    pub current: bool,
}

impl Link {
    /// A link.
    pub fn new(href: impl Into<String>, label: impl Into<String>) -> Self {
        Self { href: href.into(), label: label.into(), current: false }
    }

    /// Marks it as the page shown.
    #[must_use]
    pub const fn current(mut self, current: bool) -> Self {
        self.current = current;
        self
    }
}

/// Who is logged in, shown at the head of the page with the button to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The name, as the person knows it.
    pub name: String,
    /// The address that the logout button posts to.
    pub logout: String,
    /// The CSRF token of the session (field `csrf` of the form).
    pub csrf: String,
}

impl Page {
    pub(crate) fn new(visit: Visit, title: String, body: String) -> Self {
        Self {
            visit,
            title,
            body,
            status: StatusCode::OK,
            back: None,
            signed_in: None,
            navigation: Vec::new(),
            modules: Vec::new(),
            form_action: None,
            language_path: None,
            headers: Vec::new(),
        }
    }

    /// The status, 200 where not said (422 for a form shown again with errors).
    #[must_use]
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// A link back, above the heading; its words are "Retour" where none are given.
    #[must_use]
    pub fn back(mut self, href: impl Into<String>) -> Self {
        self.back = Some(Link::new(href, self.visit.t("web-back")));
        self
    }

    /// Shows who is logged in.
    #[must_use]
    pub fn signed_in(mut self, person: SignedIn) -> Self {
        self.signed_in = Some(person);
        self
    }

    /// The sections of the service.
    #[must_use]
    pub fn navigation(mut self, links: Vec<Link>) -> Self {
        self.navigation = links;
        self
    }

    /// A deferred ES module (`/assets/passkey.js?v=…`). The page must do its work without it.
    #[must_use]
    pub fn module(mut self, href: impl Into<String>) -> Self {
        self.modules.push(href.into());
        self
    }

    /// Where forms of this page may lead, instead of the site's own rule.
    #[must_use]
    pub fn form_action(mut self, action: FormAction) -> Self {
        self.form_action = Some(action);
        self
    }

    /// The path that the language links lead to, where the page itself answers a POST.
    #[must_use]
    pub fn language_path(mut self, path: impl Into<String>) -> Self {
        self.language_path = Some(path.into());
        self
    }

    /// A header of the answer, for instance `Set-Cookie`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The whole HTML, for snapshot tests.
    pub fn html(&self) -> Result<String, askama::Error> {
        let visit = &self.visit;
        let site = visit.site();
        let service = site.service.get(visit.locale).to_owned();
        let full_title = if self.title == service { service.clone() } else { format!("{} – {service}", self.title) };
        let path = self.language_path.as_deref().unwrap_or_else(|| visit.path());
        let languages = Locale::ALL
            .iter()
            .map(|locale| Language {
                tag: locale.tag(),
                name: match locale {
                    Locale::Fr => "Français",
                    Locale::En => "English",
                },
                href: with_language(path, *locale),
                current: *locale == visit.locale,
            })
            .collect();
        Frame {
            locale: visit.locale,
            full_title,
            css: STYLE.href(),
            icon: MARK.href(),
            modules: &self.modules,
            skip: visit.t("web-skip"),
            home: &site.home,
            service,
            organisation: site.organisation.get(visit.locale),
            language_label: visit.t("web-language"),
            languages,
            navigation_label: visit.t("web-navigation"),
            navigation: &self.navigation,
            signed_in: self.signed_in.as_ref(),
            logout_label: visit.t("web-logout"),
            back: self.back.as_ref(),
            body: &self.body,
            footer: visit.t("web-footer"),
        }
        .render()
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let html = match self.html() {
            Ok(html) => html,
            Err(error) => return crate::Problem::internal(error).into_response(),
        };
        let mut response = (self.status, Html(html)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(self.visit.locale.tag()));
        if let Some(action) = &self.form_action {
            headers.insert(http::header::CONTENT_SECURITY_POLICY, action.policy());
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// The same address in another language: `?lang=` is replaced, everything else is kept.
pub(crate) fn with_language(path_and_query: &str, locale: Locale) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("lang=")).collect();
    if kept.is_empty() {
        format!("{path}?lang={}", locale.tag())
    } else {
        format!("{path}?{}&lang={}", kept.join("&"), locale.tag())
    }
}

struct Language {
    tag: &'static str,
    name: &'static str,
    href: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Frame<'a> {
    locale: Locale,
    full_title: String,
    css: String,
    icon: String,
    modules: &'a [String],
    skip: String,
    home: &'a str,
    service: String,
    organisation: &'a str,
    language_label: String,
    languages: Vec<Language>,
    navigation_label: String,
    navigation: &'a [Link],
    signed_in: Option<&'a SignedIn>,
    logout_label: String,
    back: Option<&'a Link>,
    body: &'a str,
    footer: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_links_keep_the_page() {
        assert_eq!(with_language("/log", Locale::En), "/log?lang=en");
        assert_eq!(with_language("/log?lang=fr&offset=20", Locale::En), "/log?offset=20&lang=en");
    }
}
