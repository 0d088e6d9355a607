//! Evidence: `GET /asic` exports logged messages as ASiC-E containers, `GET /verificationconf` the configuration to judge them with
//! (facts §1.3). Both stand on the consumer listener, for the organisation's own information systems.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use bytes::Bytes;
use civic::ClientId;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use trust::asic;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::consumer;
use crate::core::{Core, had};
use crate::fault::{Fault, Reason, Side};
use crate::listener::Answer;
use crate::messagelog::{self, Exportable, RecordKind, StoredRecord, escaped};

/// Records in one answer at most.
const RECORDS_MAX: usize = 1_000;
/// Bytes of all records of one answer at most, as the log holds them. A single record is given whatever its size.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An error with the status that X-Road gives it here.
type Failure = (StatusCode, Fault);

/// What is asked for.
struct Wanted {
    message_id: String,
    kind: Option<RecordKind>,
    unique: bool,
    force: bool,
}

/// `GET /asic?queryId&xRoadInstance&memberClass&memberCode[&subsystemCode][&requestOnly|responseOnly][&unique][&force]` (UG-SIGDOC):
/// one container with `unique`, else a zip of all. What has no time stamp yet is stamped now with `force`, else refused.
///
/// A subsystem of this node asks, over a connection as its own requests need it, about its own exchanges. 400: a parameter is missing
/// or contradicts another; 401: not a subsystem of this node, or not so connected; 404: there is no such message; 500: it has no time
/// stamp, or the log failed.
pub(crate) async fn asic(core: &Core, head: &Parts) -> Answer {
    match export(core, head).await {
        Ok(answer) => answer,
        Err(failure) => refused(core, head, failure),
    }
}

/// `GET /verificationconf`: a zip in X-Road's layout.
pub(crate) fn verification_configuration(core: &Core, head: &Parts) -> Answer {
    let zipped = core.configuration(Side::ClientProxy).and_then(|snapshot| {
        let mut zip = Zip::new();
        for (path, content) in snapshot.files() {
            zip.add(format!("verificationconf/{path}"), content)?;
        }
        zip.finish()
    });
    match zipped {
        Ok(bytes) => file(bytes, "application/zip", "verificationconf.zip"),
        Err(fault) => refused(core, head, (StatusCode::INTERNAL_SERVER_ERROR, fault)),
    }
}

/// The container of one record with its file name, for the operator; stamped now where it was not yet.
pub(crate) async fn of_record(core: &Core, record: StoredRecord) -> Result<(String, Vec<u8>), Fault> {
    let mut record = record;
    if record.stamp.is_none() {
        let failed = |error: String| broken(Reason::TimestampingFailed, error).1;
        messagelog::stamp(core).await.map_err(|error| failed(error.to_string()))?;
        let again = core.log.get(record.id).await.map_err(|error| failed(error.to_string()))?;
        record = again.ok_or_else(|| failed("the record went away meanwhile".to_owned()))?;
    }
    let container = container(core, &record).await.map_err(|(_, fault)| fault)?;
    Ok((record.file_name(), container))
}

async fn export(core: &Core, head: &Parts) -> Result<Answer, Failure> {
    if head.method != Method::GET {
        return Err(bad("only GET is answered here"));
    }
    // In X-Road's order: whose log, may they, what.
    let given = parameters(head.uri.query().unwrap_or_default())?;
    let client = client(&given)?;
    admit(core, head, &client)?;
    let wanted = Wanted::read(&given)?;
    let mut found = wanted.find(core, &client).await?;
    if found.is_empty() {
        let message = "no signed document of this message is in the log of this node. Check queryId and the ids of the client; \
                       what is older than the retention time is in the archives, and of subsystems whose messages are not kept \
                       whole there is none";
        return Err((StatusCode::NOT_FOUND, Fault::new(Side::ClientProxy, Reason::NotFound, message)));
    }
    if found.iter().any(|record| !record.is_stamped) {
        if !wanted.force {
            let message = "the message has no time stamp yet. Ask again later, or add `force` to have it stamped now";
            return Err(broken(Reason::TimestampingFailed, message.to_owned()));
        }
        messagelog::stamp(core).await.map_err(|error| {
            let message = format!("{error}. The message is kept and will be stamped; ask again later");
            broken(Reason::TimestampingFailed, message)
        })?;
        found = wanted.find(core, &client).await?;
    }
    if let Some(record) = found.iter().find(|record| !record.is_stamped) {
        let message = format!("record {} is being stamped by another replica of this node. Ask again", record.id);
        return Err(broken(Reason::TimestampingFailed, message));
    }
    match (wanted.unique, wanted.kind) {
        (true, None) => Err(bad("`unique` needs requestOnly or responseOnly")),
        (true, Some(_)) => {
            let (name, container) = opened(core, found.first()).await?;
            Ok(file(container, asic::MIMETYPE, &name))
        }
        (false, kind) => zip_of(core, &wanted.message_id, kind, &found).await,
    }
}

/// All that was found in one file; one record after the other is opened.
async fn zip_of(
    core: &Core,
    message_id: &str,
    kind: Option<RecordKind>,
    found: &[Exportable],
) -> Result<Answer, Failure> {
    let failed = |fault| (StatusCode::INTERNAL_SERVER_ERROR, fault);
    let mut zip = Zip::new();
    for record in found {
        let (name, container) = opened(core, Some(record)).await?;
        zip.add(name, &container).map_err(failed)?;
    }
    let direction = match kind {
        None => "",
        Some(RecordKind::Request) => "-request",
        Some(RecordKind::Response) => "-response",
    };
    let name = format!("{}{direction}.zip", escaped(message_id));
    Ok(file(zip.finish().map_err(failed)?, "application/zip", &name))
}

/// The evidence file of a record that was found, with its name.
async fn opened(core: &Core, found: Option<&Exportable>) -> Result<(String, Vec<u8>), Failure> {
    let gone = || broken(Reason::InternalError, "the message went away meanwhile. Ask again".to_owned());
    let record = core.log.get(found.ok_or_else(gone)?.id).await;
    let record = record.map_err(|error| broken(Reason::IoError, error.to_string()))?.ok_or_else(gone)?;
    Ok((record.file_name(), container(core, &record).await?))
}

/// A subsystem of this node, connected as it must be.
fn admit(core: &Core, head: &Parts, client: &ClientId) -> Result<(), Failure> {
    let offer = core.registry.current();
    let Some(settings) = offer.clients.get(client) else {
        let message = format!("{client} is no subsystem of this node. Ask the node of that organisation");
        return Err((StatusCode::UNAUTHORIZED, Fault::new(Side::ClientProxy, Reason::AccessDenied, message)));
    };
    crate::internal_tls::admit(head, settings).map_err(|fault| (StatusCode::UNAUTHORIZED, fault))
}

fn parameters(query: &str) -> Result<BTreeMap<&str, String>, Failure> {
    let mut given: BTreeMap<&str, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()).take(16) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8().map_err(|_| bad("a parameter is not UTF-8"))?;
        if given.insert(name, value.into_owned()).is_some() {
            return Err(bad(&format!("the parameter {name} is given twice")));
        }
    }
    Ok(given)
}

fn needed<'g>(given: &'g BTreeMap<&str, String>, name: &str) -> Result<&'g String, Failure> {
    given.get(name).ok_or_else(|| bad(&format!("the parameter {name} is missing")))
}

fn client(given: &BTreeMap<&str, String>) -> Result<ClientId, Failure> {
    let (instance, class) = (needed(given, "xRoadInstance")?, needed(given, "memberClass")?);
    let member = civic::MemberId::new(instance, class, needed(given, "memberCode")?);
    let member = member.map_err(|error| bad(&error.to_string()))?;
    match given.get("subsystemCode") {
        Some(code) => member.subsystem(code).map_err(|error| bad(&error.to_string())),
        None => Ok(ClientId::of_member(member)),
    }
}

impl Wanted {
    fn read(given: &BTreeMap<&str, String>) -> Result<Self, Failure> {
        let message_id = needed(given, "queryId")?.clone();
        let kind = match (given.contains_key("requestOnly"), given.contains_key("responseOnly")) {
            (true, true) => return Err(bad("requestOnly and responseOnly exclude each other")),
            (true, false) => Some(RecordKind::Request),
            (false, true) => Some(RecordKind::Response),
            (false, false) => None,
        };
        Ok(Self { message_id, kind, unique: given.contains_key("unique"), force: given.contains_key("force") })
    }

    /// The records of the client that were kept whole, oldest first, as many as one answer may hold; the first one where one is wanted.
    async fn find(&self, core: &Core, client: &ClientId) -> Result<Vec<Exportable>, Failure> {
        let one = self.unique && self.kind.is_some();
        let count_max = if one { 1 } else { RECORDS_MAX + 1 };
        let found = core.log.exportable(&self.message_id, client, self.kind, count_max).await;
        let found = found.map_err(|error| broken(Reason::IoError, error.to_string()))?;
        let bytes: u64 = found.iter().map(|record| record.bytes).sum();
        if !one && found.len() > 1 && (found.len() > RECORDS_MAX || bytes > BYTES_MAX) {
            return Err(bad(&format!(
                "the records of this message are more than one answer may hold ({RECORDS_MAX} records, {} MiB). Ask for requestOnly or \
                 responseOnly, with `unique` for the first of them; the others can be had one by one from the console of the node",
                BYTES_MAX / (1024 * 1024)
            )));
        }
        Ok(found)
    }
}

/// The evidence file, with the proof of the ledger where that holds the record and answers.
async fn container(core: &Core, record: &StoredRecord) -> Result<Vec<u8>, Failure> {
    let damaged = || broken(Reason::InternalError, format!("record {} has no message", record.id));
    let mut container = record.content.container(record.stamp.as_ref()).ok_or_else(damaged)?;
    container.ledger_proof = had(core.record_proof(record).await).flatten();
    container.write(record.at).map_err(|error| broken(Reason::InternalError, error.to_string()))
}

/// A zip file that is being made, of files that are compressed already or small.
struct Zip(ZipWriter<Cursor<Vec<u8>>>);

impl Zip {
    fn new() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }

    fn add(&mut self, name: String, content: &[u8]) -> Result<(), Fault> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.0.start_file(name, options).map_err(|error| unzipped(&error))?;
        self.0.write_all(content).map_err(|error| unzipped(&error))
    }

    fn finish(self) -> Result<Vec<u8>, Fault> {
        Ok(self.0.finish().map_err(|error| unzipped(&error))?.into_inner())
    }
}

fn unzipped(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Side::ClientProxy, Reason::InternalError, error.to_string())
}

fn file(bytes: Vec<u8>, kind: &'static str, name: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(bytes)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    answer
}

fn refused(core: &Core, head: &Parts, (status, fault): Failure) -> Answer {
    let mut answer = consumer::error(core, head, fault);
    *answer.status_mut() = status;
    answer
}

fn bad(message: &str) -> Failure {
    (StatusCode::BAD_REQUEST, Fault::new(Side::Client, Reason::BadRequest, message))
}

fn broken(reason: Reason, message: String) -> Failure {
    (StatusCode::INTERNAL_SERVER_ERROR, Fault::new(Side::ClientProxy, reason, message))
}
