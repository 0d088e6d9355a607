//! The simulated handset of the demo: what a citizen's phone would show.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::header::{HeaderName, HeaderValue};
use web::{Job, Page, Params, Problem, Room, Site, Visit};

use crate::error::IdentityError;
use crate::http::service_name;
use crate::identity::Identity;
use crate::store::HandsetMessage;

/// The handset: takes messages from the queue `sms` and shows them. A real deployment mounts a gateway in its place.
#[derive(Clone)]
pub struct Phone {
    identity: Identity,
}

impl fmt::Debug for Phone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Phone")
    }
}

impl Phone {
    /// A handset for the messages of this provider.
    pub const fn new(identity: Identity) -> Self {
        Self { identity }
    }

    /// Takes waiting messages from the queue. Answers how many. The page does it too.
    pub async fn deliver(&self) -> Result<usize, IdentityError> {
        let inner = &self.identity.inner;
        inner.tables.deliver_sms(inner.clock.now()).await
    }

    /// The latest messages as number and text, newest first: for tests and for the page.
    pub async fn messages(&self) -> Result<Vec<(String, String)>, IdentityError> {
        self.deliver().await?;
        let messages = self.identity.inner.tables.handset_messages().await?;
        Ok(messages.into_iter().map(|message| (message.phone, message.text)).collect())
    }

    /// The page under its own public URL, with the job that empties the queue.
    pub fn room(&self, public_url: &str) -> Room {
        let inner = &self.identity.inner;
        let site = Site::new(
            inner.config.organisation.clone(),
            service_name(&self.identity, "identity-phone-service"),
            public_url,
            Arc::clone(&inner.messages),
            Arc::clone(&inner.random),
        );
        let router = Router::new().route("/", get(page)).with_state(self.clone());
        let phone = self.clone();
        let mut room = Room::new("phone", site.wrap(router));
        room.jobs.push(Job::new("identity.phone", Duration::from_secs(1), move || {
            let phone = phone.clone();
            async move {
                phone.deliver().await?;
                Ok(())
            }
        }));
        room
    }
}

#[derive(Template)]
#[template(path = "phone.html")]
struct PhoneBody<'a> {
    v: &'a Visit,
    is_filtered: bool,
    messages: Vec<HandsetMessage>,
}

impl HandsetMessage {
    /// The page with the messages of this number alone.
    fn href(&self) -> String {
        format!("/?number={}", self.phone.trim_start_matches('+'))
    }
}

async fn page(State(phone): State<Phone>, visit: Visit, params: Params) -> Result<Page, Problem> {
    phone.deliver().await.map_err(Problem::unavailable)?;
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let wanted = params.get("number").map(digits).unwrap_or_default();
    let mut messages = phone.identity.inner.tables.handset_messages().await.map_err(Problem::unavailable)?;
    messages.retain(|message| digits(&message.phone).contains(&wanted));
    let body = PhoneBody { v: &visit, is_filtered: !wanted.is_empty(), messages };
    // Without a script the page looks again every three seconds.
    let refresh = (HeaderName::from_static("refresh"), HeaderValue::from_static("3"));
    Ok(visit.page(visit.t("identity-phone-title"), &body)?.header(refresh.0, refresh.1))
}
