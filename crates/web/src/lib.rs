//! What every page and service of the house stands on: rooms, problems, words, layout, forms, sessions, client, server.
//!
//! A crate with pages does this, and nothing else:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use civic::{Locale, SharedRandom};
//! use askama::Template;
//! use axum::{Router, routing::get};
//! use web::{Field, Messages, Page, Problem, Site, Text, Visit};
//!
//! // templates/hello.html of the crate (only the body; `web` puts the frame around it, askama escapes):
//! //   <h1>{{ v.t("hello-title") }}</h1><p class="lead">{{ v.t1("hello-name", "name", name) }}</p>{{ field }}
//! #[derive(Template)]
//! #[template(source = "<h1>{{ v.t(\"web-home\") }}</h1><p>{{ name }}</p>{{ field }}", ext = "html")]
//! struct HelloBody<'a> {
//!     v: &'a Visit,
//!     name: &'a str,
//!     field: Field,
//! }
//!
//! async fn hello(visit: Visit) -> Result<Page, Problem> {
//!     let body = HelloBody { v: &visit, name: "Awa", field: Field::new("city", "Ville").hint("Où vous habitez") };
//!     Ok(visit.page("Bonjour", &body)?.back("/"))
//! }
//!
//! # fn site(random: SharedRandom) -> Result<Router, web::I18nError> {
//! // translations/fr/hello.ftl and translations/en/hello.ftl with `include_str!`; the keys must be the same.
//! let messages = Arc::new(Messages::load(&[(Locale::Fr, "hello = Bonjour\n"), (Locale::En, "hello = Hello\n")])?);
//! let site = Site::new(Text::name("Agence du numérique"), Text::new("Portail", "Portal"), "http://localhost:8600", messages, random);
//! let router: Router = site.wrap(Router::new().route("/hello", get(hello)));
//! # Ok(router) }
//! ```
//!
//! * Errors: handlers return [`Problem`]; a browser gets a page in its language, a program `application/problem+json`.
//! * Words: [`Visit::t`], [`Visit::t1`], [`Visit::t_with`]; a missing key or language fails when the crate is built up.
//! * Forms: [`Form`] reads them within limits, [`FormErrors`] and [`Field`] show them again with what is wrong.
//! * Sessions: `session::Sessions` keeps them in the room's own store; every form posts `session.csrf()` as `csrf`.
//! * CSS classes for bodies: `lead soft measure sheet cards card pairs tag(.wait .bad .off) notice(.caution .bad) empty
//!   line big actions button(.second .warn .plain) row two fold(tables) figure`; see `assets/baobab.css`.
//!
//! Invariants: no page needs a script; nothing inline (the policy forbids it); a page is below 14 kB; personal pages
//! are never stored by a cache; what the log says of a request never holds its query or its body.

pub mod assets;
pub mod client;
mod connector;
mod form;
mod guard;
pub mod health;
mod i18n;
pub mod layout;
mod peers;
mod problem;
mod room;
mod serve;
pub mod session;
mod site;
#[cfg(feature = "testing")]
pub mod testing;
mod ui;

pub use assets::Asset;
pub use client::{ClientLimits, HttpClient, HttpError, Reply, form_text};
pub use connector::{AuthoritiesError, Connector, with_causes};
pub use form::{FORM_BYTES_MAX, Form, FormErrors};
pub use guard::WebMetrics;
pub use i18n::{Arg, I18nError, Messages, Text};
pub use layout::{Link, Page, SignedIn};
pub use peers::{PeerLimit, peer_of};
pub use problem::Problem;
pub use room::{Card, Failure, HealthCheck, Job, Room};
pub use serve::{CONNECTIONS_MAX, serve};
pub use session::{Session, SessionConfig, SessionError, Sessions};
pub use site::{FormAction, Params, Site, Visit};
pub use ui::{Choices, ErrorSummary, Field, FieldError, FieldKind, PageLinks, Paging};
