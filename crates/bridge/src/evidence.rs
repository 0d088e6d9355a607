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
use crate::messagelog::{self, LogMode, RecordKind, StoredRecord, escaped};

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
        let files =
            snapshot.files().iter().map(|(path, content)| (format!("verificationconf/{path}"), content.as_slice()));
        zip(files)
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
    let mut records = wanted.find(core, &client).await?;
    if records.is_empty() {
        let message = "no signed document of this message is in the log of this node. Check queryId and the ids of the client; \
                       what is older than the retention time is in the archives, and of subsystems whose messages are not kept \
                       whole there is none";
        return Err((StatusCode::NOT_FOUND, Fault::new(Side::ClientProxy, Reason::NotFound, message)));
    }
    if records.iter().any(|record| record.stamp.is_none()) {
        if !wanted.force {
            let message = "the message has no time stamp yet. Ask again later, or add `force` to have it stamped now";
            return Err(broken(Reason::TimestampingFailed, message.to_owned()));
        }
        messagelog::stamp(core).await.map_err(|error| {
            let message = format!("{error}. The message is kept and will be stamped; ask again later");
            broken(Reason::TimestampingFailed, message)
        })?;
        records = wanted.find(core, &client).await?;
    }
    if let Some(record) = records.iter().find(|record| record.stamp.is_none()) {
        let message = format!("record {} is being stamped by another replica of this node. Ask again", record.id);
        return Err(broken(Reason::TimestampingFailed, message));
    }
    match (wanted.unique, wanted.kind) {
        (true, None) => Err(bad("`unique` needs requestOnly or responseOnly")),
        (true, Some(_)) => match records.first() {
            Some(record) => Ok(file(container(core, record).await?, asic::MIMETYPE, &record.file_name())),
            None => Err(broken(Reason::InternalError, "the message went away meanwhile. Ask again".to_owned())),
        },
        (false, kind) => {
            let mut files = Vec::with_capacity(records.len());
            for record in &records {
                files.push((record.file_name(), container(core, record).await?));
            }
            let zipped = zip(files.iter().map(|(name, content)| (name.clone(), content.as_slice())));
            let zipped = zipped.map_err(|fault| (StatusCode::INTERNAL_SERVER_ERROR, fault))?;
            let direction = match kind {
                None => "",
                Some(RecordKind::Request) => "-request",
                Some(RecordKind::Response) => "-response",
            };
            Ok(file(zipped, "application/zip", &format!("{}{direction}.zip", escaped(&wanted.message_id))))
        }
    }
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

    /// The records of the client that were kept whole, oldest first.
    async fn find(&self, core: &Core, client: &ClientId) -> Result<Vec<StoredRecord>, Failure> {
        let mut records =
            core.log.find(&self.message_id).await.map_err(|error| broken(Reason::IoError, error.to_string()))?;
        records.retain(|record| {
            record.mode == LogMode::Full && record.owner() == client && self.kind.is_none_or(|kind| kind == record.kind)
        });
        Ok(records)
    }
}

/// The evidence file, with the proof of the ledger where that holds the record and answers.
async fn container(core: &Core, record: &StoredRecord) -> Result<Vec<u8>, Failure> {
    let damaged = || broken(Reason::InternalError, format!("record {} has no message", record.id));
    let mut container = record.content.container(record.stamp.as_ref()).ok_or_else(damaged)?;
    container.ledger_proof = had(core.record_proof(record).await).flatten();
    container.write(record.at).map_err(|error| broken(Reason::InternalError, error.to_string()))
}

fn zip<'a>(files: impl Iterator<Item = (String, &'a [u8])>) -> Result<Vec<u8>, Fault> {
    let failed = |error: String| Fault::new(Side::ClientProxy, Reason::InternalError, error);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in files {
        writer.start_file(name, options).map_err(|error| failed(error.to_string()))?;
        writer.write_all(content).map_err(|error| failed(error.to_string()))?;
    }
    Ok(writer.finish().map_err(|error| failed(error.to_string()))?.into_inner())
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
