//! What the portal asks other organisations, through its own node of the bridge. Every question takes a [`Permit`].

use std::time::Duration;

use civic::{ClientId, ServiceId, Timestamp};
use consent::Permit;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;
use web::{ClientLimits, HttpClient, HttpError, Text, form_text};

use crate::access::Access;
use crate::person::Person;

/// The most uses that are asked of one register for one page; older ones are reached by a narrower period.
pub const USES_MAX: usize = 500;

/// A register that tells who looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The provider's subsystem.
    pub provider: ClientId,
    /// Its name.
    pub name: Text,
}

/// What the registers told.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// All looks of all registers that answered, newest first.
    pub accesses: Vec<Access>,
    /// The registers that did not answer.
    pub silent: Vec<Text>,
    /// The registers that have more than was asked for.
    pub cut: Vec<Text>,
}

/// How a question about the citizen's own record ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The record.
    Person(Box<Person>),
    /// The register knows nobody of this number.
    Nobody,
    /// The register or the bridge did not answer.
    Silent,
}

/// The questions, bound to the portal's node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    http: HttpClient,
    consumer_url: String,
    client: ClientId,
    registers: Vec<Source>,
    person: ServiceId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsagePage {
    #[serde(default)]
    total_usages: u64,
    #[serde(default)]
    usages: Vec<Value>,
}

impl Sources {
    /// `consumer_url` is the portal's own node; `client` the subsystem that asks.
    pub fn new(consumer_url: &str, client: ClientId, sources: Vec<Source>, person: ServiceId) -> Self {
        let limits = ClientLimits { timeout: Duration::from_secs(8), answer_bytes_max: 8 * 1024 * 1024 };
        let consumer_url = consumer_url.trim_end_matches('/').to_owned();
        Self { http: HttpClient::new(limits, None), consumer_url, client, registers: sources, person }
    }

    /// The service that tells a person's record.
    pub const fn person_service(&self) -> &ServiceId {
        &self.person
    }

    /// The citizen's own record in the population register.
    pub async fn person(&self, permit: &Permit) -> Found {
        let number = permit.subject().as_str().to_owned();
        let url = self.url(self.person.client(), &[self.person.code(), &number]);
        let reply = match self.http.get(&url, &self.headers(&number)).await {
            Ok(reply) => reply,
            Err(error) => return silent(self.person.client(), &error),
        };
        if reply.status == http::StatusCode::NOT_FOUND && is_unknown_person(&reply.body) {
            return Found::Nobody;
        }
        match reply.success().and_then(|reply| reply.json::<Person>()) {
            Ok(person) => Found::Person(Box::new(person)),
            Err(error) => silent(self.person.client(), &error),
        }
    }

    /// Asks every register at once who looked at the subject's data since `from` and before `until`.
    pub async fn usages(&self, permit: &Permit, from: Option<Timestamp>, until: Option<Timestamp>) -> Gathered {
        let mut asking = JoinSet::new();
        for (place, source) in self.registers.iter().cloned().enumerate() {
            let (this, number) = (self.clone(), permit.subject().as_str().to_owned());
            asking.spawn(async move { (place, this.ask(&source, &number, from, until).await) });
        }
        let mut answers: Vec<_> = Vec::new();
        while let Some(joined) = asking.join_next().await {
            answers.extend(joined.ok());
        }
        answers.sort_unstable_by_key(|(place, _)| *place);
        let mut gathered = Gathered::default();
        for (place, source) in self.registers.iter().enumerate() {
            match answers.iter_mut().find(|(known, _)| *known == place).map(|(_, answer)| answer) {
                Some(Ok((accesses, whole))) => {
                    gathered.accesses.append(accesses);
                    if !*whole {
                        gathered.cut.push(source.name.clone());
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(provider = %source.provider, %error, "a register does not tell who looked");
                    gathered.silent.push(source.name.clone());
                }
                None => gathered.silent.push(source.name.clone()),
            }
        }
        gathered.accesses.sort_by_key(|access| std::cmp::Reverse(access.at));
        gathered
    }

    /// One look, found again by its register, time and message.
    pub async fn usage(
        &self,
        permit: &Permit,
        provider: &str,
        message: &str,
        at: Timestamp,
    ) -> Result<Option<Access>, HttpError> {
        let Some(source) = self.registers.iter().find(|source| source.provider.to_string() == provider) else {
            return Ok(None);
        };
        let second = Duration::from_secs(1);
        let number = permit.subject().as_str();
        let (accesses, _) = self.ask(source, number, Some(at.minus(second)), Some(at.plus(second))).await?;
        Ok(accesses.into_iter().find(|access| access.at == at && access.usage.message_id == message))
    }

    async fn ask(
        &self,
        source: &Source,
        number: &str,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<(Vec<Access>, bool), HttpError> {
        let (from, until) = (from.map(Timestamp::rfc3339), until.map(Timestamp::rfc3339));
        let limit = USES_MAX.to_string();
        let mut fields = vec![("userCode", number), ("offset", "0"), ("limit", limit.as_str())];
        fields.extend(from.as_deref().map(|from| ("periodStart", from)));
        fields.extend(until.as_deref().map(|until| ("periodEnd", until)));
        let url = self.url(&source.provider, &["data-tracker", "v2", "findUsage"]);
        let page: UsagePage =
            self.http.get_json(&format!("{url}?{}", form_text(&fields)), &self.headers(number)).await?;
        let told = page.usages.len();
        let accesses =
            page.usages.into_iter().filter_map(|value| Access::read(&source.provider, &source.name, value)).collect();
        Ok((accesses, page.total_usages <= told as u64))
    }

    /// `{node}/r1/{provider}/{segments}` (PR-REST §4.1), each part percent-encoded.
    fn url(&self, provider: &ClientId, segments: &[&str]) -> String {
        let member = provider.member();
        let mut parts = vec![member.instance(), member.class(), member.code()];
        parts.extend(provider.subsystem());
        parts.extend(segments);
        let path: Vec<String> = parts.iter().map(|part| encode(part)).collect();
        format!("{}/r1/{}", self.consumer_url, path.join("/"))
    }

    fn headers(&self, number: &str) -> Vec<(HeaderName, HeaderValue)> {
        let client = self.client.to_string();
        let pairs = [("x-road-client", client.as_str()), ("x-road-userid", number), ("accept", "application/json")];
        pairs
            .into_iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)))
            .collect()
    }
}

fn silent(provider: &ClientId, error: &HttpError) -> Found {
    tracing::warn!(%provider, %error, "the population register does not answer");
    Found::Silent
}

/// A 404 of the register itself says `unknown_person`; any other 404 is a wrong address on the way.
fn is_unknown_person(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| value.get("type").and_then(Value::as_str).map(|kind| kind.ends_with("unknown_person")))
        .unwrap_or(false)
}

fn encode(part: &str) -> String {
    form_text(&[("", part)]).split_off(1)
}
