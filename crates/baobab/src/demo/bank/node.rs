//! The bank's system calls its own node (PR-REST r1) and reads the answer.

use civic::{ClientId, ServiceId};
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use web::{HttpClient, HttpError, Reply, form_text};

use super::application::{Income, Outcome};

const X_ROAD_CLIENT: HeaderName = HeaderName::from_static("x-road-client");
const X_ROAD_ID: HeaderName = HeaderName::from_static("x-road-id");
const X_ROAD_REQUEST_ID: &str = "x-road-request-id";

/// The node of the bank, as its systems reach it.
pub(super) struct Node {
    pub(super) http: HttpClient,
    /// Its consumer address, without a slash at the end.
    pub(super) consumer_url: String,
    /// In whose name the bank calls.
    pub(super) client: ClientId,
    /// The service that certifies incomes.
    pub(super) service: ServiceId,
}

/// What came of a call.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Only with [`Outcome::Answered`].
    pub(super) income: Option<Income>,
    pub(super) reference: Option<String>,
}

/// Which message of an exchange a proof is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What the bank asked, signed by the bank.
    Request,
    /// What the tax office answered, signed by the tax office.
    Response,
}

/// The error body of r1, and of a problem of the service (RFC 9457): both have `type`.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    detail: String,
}

impl Part {
    /// The word in addresses and file names.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

impl Node {
    /// Asks the tax office, through both nodes, for the income of a year of the citizen whom the token is about.
    /// Never fails: whatever happens is an outcome that the citizen is told.
    pub(super) async fn income(&self, year: u16, token: &str, message_id: &str) -> Answer {
        let url = format!("{}/r1/{}/{year}", self.consumer_url, self.service);
        let Ok(headers) = self.headers(token, message_id) else {
            return Answer { outcome: Outcome::Other, income: None, reference: None };
        };
        match self.http.get(&url, &headers).await {
            Ok(reply) => read(&reply),
            Err(error) => {
                tracing::warn!(%error, message_id, "the bank's node did not answer");
                Answer { outcome: Outcome::Unreachable, income: None, reference: None }
            }
        }
    }

    /// The ASiC-E container of one message of an exchange, as the node's log holds it.
    pub(super) async fn proof(&self, message_id: &str, part: Part) -> Result<Reply, HttpError> {
        let member = self.client.member();
        let only = match part {
            Part::Request => "requestOnly",
            Part::Response => "responseOnly",
        };
        let query = form_text(&[
            ("queryId", message_id),
            ("xRoadInstance", member.instance()),
            ("memberClass", member.class()),
            ("memberCode", member.code()),
            ("subsystemCode", self.client.subsystem().unwrap_or_default()),
        ]);
        self.http.get(&format!("{}/asic?{query}&{only}&unique&force", self.consumer_url), &[]).await?.success()
    }

    /// A new message id for this instance.
    pub(super) fn message_id(&self, random: &dyn civic::Random) -> String {
        format!("{}-{}", self.client.member().instance(), civic::random_uuid(random))
    }

    fn headers(
        &self,
        token: &str,
        message_id: &str,
    ) -> Result<[(HeaderName, HeaderValue); 4], http::header::InvalidHeaderValue> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        Ok([
            (X_ROAD_CLIENT, HeaderValue::from_str(&self.client.to_string())?),
            (X_ROAD_ID, HeaderValue::from_str(message_id)?),
            (AUTHORIZATION, bearer),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ])
    }
}

fn read(reply: &Reply) -> Answer {
    let request_id = reply.headers.get(X_ROAD_REQUEST_ID).and_then(|value| value.to_str().ok()).map(cut);
    if reply.status.is_success() {
        return match reply.json::<Income>() {
            Ok(income) => Answer { outcome: Outcome::Answered, income: Some(income), reference: request_id },
            Err(error) => {
                tracing::warn!(%error, "the tax office answered something else than an income statement");
                Answer { outcome: Outcome::Other, income: None, reference: request_id }
            }
        };
    }
    let body = reply.json::<ErrorBody>().unwrap_or(ErrorBody { kind: String::new(), detail: String::new() });
    let outcome = Outcome::of_error_type(&body.kind);
    tracing::info!(
        kind = cut(&body.kind),
        status = reply.status.as_u16(),
        "the call for an income statement was refused"
    );
    // In an r1 error `detail` is the id under which both nodes logged it; in a problem it is words.
    let detail = (!body.detail.contains(' ') && !body.detail.is_empty()).then(|| cut(&body.detail));
    Answer { outcome, income: None, reference: request_id.or(detail) }
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}
