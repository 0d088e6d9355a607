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
use trust::asic::{self, ChainFiles, Container, StampFiles};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::consumer;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::listener::Answer;
use crate::messagelog::{self, RecordKind, Role, Stamp, StoredRecord};

/// An error with the status that X-Road gives it here.
type Failure = (StatusCode, Fault);

/// What is asked for.
struct Wanted {
    message_id: String,
    client: ClientId,
    kind: Option<RecordKind>,
    unique: bool,
}

/// `GET /asic?queryId&xRoadInstance&memberClass&memberCode[&subsystemCode][&requestOnly|responseOnly][&unique]`: one container with
/// `unique`, else a zip of all. What has no time stamp yet is stamped now.
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

async fn export(core: &Core, head: &Parts) -> Result<Answer, Failure> {
    if head.method != Method::GET {
        return Err(bad("only GET is answered here"));
    }
    let wanted = Wanted::read(head.uri.query().unwrap_or_default())?;
    if !core.registry.current().clients.contains_key(&wanted.client) {
        let message = format!("{} is no subsystem of this node. Ask the node of that organisation", wanted.client);
        return Err((StatusCode::UNAUTHORIZED, Fault::new(Side::ClientProxy, Reason::AccessDenied, message)));
    }
    let mut records = wanted.find(core).await?;
    if records.iter().any(|record| record.stamp.is_none()) {
        messagelog::stamp(core).await.map_err(|error| {
            let message = format!("{error}. The message is kept and will be stamped; ask again later");
            broken(Reason::TimestampingFailed, message)
        })?;
        records = wanted.find(core).await?;
    }
    match (records.as_slice(), wanted.unique) {
        ([], _) => {
            let message = "there is no such message in the log of this node. Check queryId and the ids of the client";
            Err((StatusCode::NOT_FOUND, Fault::new(Side::ClientProxy, Reason::NotFound, message)))
        }
        ([record], true) => Ok(file(container(record)?, asic::MIMETYPE, &file_name(record))),
        (_, true) => Err(bad("several messages have this id. Leave `unique` out, or add requestOnly or responseOnly")),
        (many, false) => {
            let mut files = Vec::with_capacity(many.len());
            for record in many {
                files.push((file_name(record), container(record)?));
            }
            let zipped = zip(files.iter().map(|(name, content)| (name.clone(), content.as_slice())));
            let zipped = zipped.map_err(|fault| (StatusCode::INTERNAL_SERVER_ERROR, fault))?;
            Ok(file(zipped, "application/zip", &format!("{}.zip", escaped(&wanted.message_id))))
        }
    }
}

impl Wanted {
    fn read(query: &str) -> Result<Self, Failure> {
        let mut given: BTreeMap<&str, String> = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()).take(16) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8().map_err(|_| bad("a parameter is not UTF-8"))?;
            given.insert(name, value.into_owned());
        }
        let needed = |name: &str| given.get(name).ok_or_else(|| bad(&format!("the parameter {name} is missing")));
        let member = civic::MemberId::new(needed("xRoadInstance")?, needed("memberClass")?, needed("memberCode")?);
        let member = member.map_err(|error| bad(&error.to_string()))?;
        let client = match given.get("subsystemCode") {
            Some(code) => member.subsystem(code).map_err(|error| bad(&error.to_string()))?,
            None => ClientId::of_member(member),
        };
        let kind = match (given.contains_key("requestOnly"), given.contains_key("responseOnly")) {
            (true, true) => return Err(bad("requestOnly and responseOnly exclude each other")),
            (true, false) => Some(RecordKind::Request),
            (false, true) => Some(RecordKind::Response),
            (false, false) => None,
        };
        let unique = given.contains_key("unique");
        if unique && kind.is_none() {
            return Err(bad("`unique` needs requestOnly or responseOnly"));
        }
        Ok(Self { message_id: needed("queryId")?.clone(), client, kind, unique })
    }

    async fn find(&self, core: &Core) -> Result<Vec<StoredRecord>, Failure> {
        let mut records =
            core.log.find(&self.message_id).await.map_err(|error| broken(Reason::IoError, error.to_string()))?;
        records.retain(|record| {
            let own = match record.role {
                Role::Consumer => &record.client,
                Role::Provider => record.service.client(),
            };
            own == &self.client && self.kind.is_none_or(|kind| kind == record.kind)
        });
        Ok(records)
    }
}

fn container(record: &StoredRecord) -> Result<Vec<u8>, Failure> {
    let content = &record.content;
    let stamp = |stamp: &Stamp| StampFiles {
        token: stamp.token.clone(),
        chain: ChainFiles { result: stamp.chain_result.clone(), chain: stamp.chain.clone() },
    };
    let container = Container {
        message: content.head.to_vec(),
        attachments: content.body.iter().map(|body| (1, body.to_vec())).collect(),
        signature: content.signature.to_vec(),
        signature_chain: content
            .batch
            .as_ref()
            .map(|batch| ChainFiles { result: batch.result.to_vec(), chain: batch.chain.to_vec() }),
        time_stamp: record.stamp.as_ref().map(stamp),
    };
    container.write(record.at).map_err(|error| broken(Reason::InternalError, error.to_string()))
}

fn file_name(record: &StoredRecord) -> String {
    let kind = match record.kind {
        RecordKind::Request => "request",
        RecordKind::Response => "response",
    };
    format!("{}-{kind}-{}.asice", escaped(&record.message_id), record.id)
}

/// An id as a part of a file name, on any system.
fn escaped(id: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    id.trim_start_matches('.').chars().map(safe).take(100).collect()
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
