use std::sync::Arc;

use bytes::Bytes;
use civic::{ClientId, MemberId, random_array};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use store::{Store, StoreError, Tx};

use super::auth::{Holder, Role};
use super::error::ApiError;
use super::validate::yes_or_no;
use crate::core::Core;
use crate::globalconf::Snapshot;
use crate::registry::{Author, Change, Offer, Service, write_audit};

pub(super) type Result<T = Reply> = std::result::Result<T, ApiError>;

/// A call that was let in.
pub(super) struct Call {
    pub(super) core: Arc<Core>,
    pub(super) holder: Holder,
    pub(super) params: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// What is answered.
pub(super) enum Reply {
    Json(StatusCode, Json),
    Empty(StatusCode),
    File { bytes: Bytes, content_type: &'static str, name: String },
}

impl Reply {
    pub(super) const fn json(body: Json) -> Self {
        Self::Json(StatusCode::OK, body)
    }

    pub(super) const fn created(body: Json) -> Self {
        Self::Json(StatusCode::CREATED, body)
    }

    pub(super) const fn done() -> Self {
        Self::Empty(StatusCode::NO_CONTENT)
    }
}

impl Call {
    /// A part of the path; the router brought it.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
            .filter(|text| !text.is_empty())
    }

    /// A yes or no of the query.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.query(name) {
            None => Ok(default),
            Some(text) => yes_or_no(text).ok_or_else(|| ApiError::bad(format!("{name} is true or false"))),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<i64> {
        let text = self.param(name);
        text.parse().map_err(|_| ApiError::not_found("not_found", format!("`{}` is no number", shorten(text))))
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad(format!("the body is not what the description says: {error}")))
    }

    /// The same, where no body is all right too.
    pub(super) fn optional_json<T: DeserializeOwned + Default>(&self) -> Result<T> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    pub(super) fn store(&self) -> &Store {
        self.core.log.store()
    }

    pub(super) fn author(&self) -> Author {
        Author::ApiKey(self.holder.number)
    }

    pub(super) fn offer(&self) -> Arc<Offer> {
        self.core.registry.current()
    }

    /// Whether the node has clients of this member.
    pub(super) fn serves_member(&self, member: &MemberId) -> bool {
        self.offer().clients.keys().any(|client| client.member() == member)
    }

    pub(super) fn has(&self, roles: &[Role]) -> bool {
        self.holder.roles.iter().any(|role| roles.contains(role))
    }

    pub(super) async fn change(&self, change: Change) -> Result<Option<i64>> {
        Ok(self.core.registry.apply(&self.author(), change).await?)
    }

    pub(super) async fn change_all(&self, changes: Vec<Change>) -> Result<()> {
        self.core.registry.apply_all(&self.author(), changes).await?;
        Ok(())
    }

    /// Changes rows of the API, writes that to the audit and commits to it, in one transaction.
    pub(super) async fn act<E, F>(
        &self,
        name: &'static str,
        action: &'static str,
        object: &str,
        mut change: F,
    ) -> Result<()>
    where
        F: FnMut(&mut Tx<'_>) -> std::result::Result<(), E> + Send + 'static,
        E: From<StoreError> + Send + 'static,
        ApiError: From<E>,
    {
        let (author, object) = (self.author().to_string(), object.to_owned());
        let (salt, now) = (self.salt(), self.core.clock.now());
        let act = move |tx: &mut Tx<'_>| {
            change(tx)?;
            write_audit(tx, &author, action, &object, "{}", salt, now)?;
            Ok::<(), E>(())
        };
        Ok(self.store().tx(name, act).await?)
    }

    /// Does what is no row of a table. The audit says before that it begins, and after how it ended: nothing is done that nobody wrote down,
    /// and what died in between is seen.
    pub(super) async fn act_outside<T>(
        &self,
        action: &str,
        object: &str,
        act: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (registry, author) = (&self.core.registry, self.author());
        registry.audit_with(&author, action, object, &json!({ "stage": "begun" })).await?;
        let outcome = act.await;
        let stage = if outcome.is_ok() { "done" } else { "failed" };
        let written = registry.audit_with(&author, action, object, &json!({ "stage": stage })).await;
        let value = outcome?;
        written?;
        Ok(value)
    }

    /// The salt of a commitment.
    pub(super) fn salt(&self) -> [u8; 32] {
        random_array(&*self.core.random)
    }

    /// Writes an action that changes nothing to the audit.
    pub(super) async fn audit(&self, action: &str, object: &str) -> Result<()> {
        Ok(self.core.registry.audit(&self.author(), action, object).await?)
    }

    /// The global configuration, also an expired one: an operator must be able to work then.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let missing =
            "the node has no global configuration yet. It goes on by itself once the authority can be reached";
        self.core
            .conf
            .current()
            .ok_or_else(|| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "global_conf_outdated", missing))
    }

    /// The client that the path names, which the node serves.
    pub(super) fn client(&self, offer: &Offer) -> Result<ClientId> {
        let text = self.param("id");
        let missing =
            || ApiError::not_found("client_not_found", format!("the node serves no client `{}`", shorten(text)));
        let client = parse_client(text).map_err(|_| missing())?;
        if offer.clients.contains_key(&client) { Ok(client) } else { Err(missing()) }
    }

    /// The service that the path names.
    pub(super) fn service(&self, offer: &Offer) -> Result<Arc<Service>> {
        let text = self.param("id");
        let found = offer.services().find(|service| service_id(service) == text);
        found.map(Arc::clone).ok_or_else(|| {
            ApiError::not_found("service_not_found", format!("the node offers no service `{}`", shorten(text)))
        })
    }
}

/// `INSTANCE:CLASS:CODE[:SUBSYSTEM]`, as X-Road's API writes it.
pub(super) fn client_id(client: &ClientId) -> String {
    let member = member_id(client.member());
    client.subsystem().map_or(member.clone(), |subsystem| format!("{member}:{subsystem}"))
}

pub(super) fn member_id(member: &MemberId) -> String {
    format!("{}:{}:{}", member.instance(), member.class(), member.code())
}

pub(super) fn parse_client(text: &str) -> Result<ClientId> {
    let bad = |error: civic::IdError| ApiError::bad(error.to_string());
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [instance, class, code] => Ok(ClientId::of_member(MemberId::new(instance, class, code).map_err(bad)?)),
        [instance, class, code, subsystem] => {
            MemberId::new(instance, class, code).and_then(|member| member.subsystem(subsystem)).map_err(bad)
        }
        _ => Err(ApiError::bad(format!("`{}` is no id of a client: INSTANCE:CLASS:CODE[:SUBSYSTEM]", shorten(text)))),
    }
}

/// `INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[.VERSION]`.
pub(super) fn service_id(service: &Service) -> String {
    format!("{}:{}", client_id(service.id.client()), full_code(service))
}

/// `SERVICE[.VERSION]`.
pub(super) fn full_code(service: &Service) -> String {
    service
        .version
        .as_ref()
        .map_or_else(|| service.id.code().to_owned(), |version| format!("{}.{version}", service.id.code()))
}

pub(super) fn shorten(text: &str) -> String {
    text.chars().take(128).collect()
}
