//! `GET /listClients[?xRoadInstance=]`: the members and subsystems of an instance, from the global configuration (PR-META §2).

use std::fmt::Write as _;

use bytes::Bytes;
use civic::ClientId;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json, json};
use trust::globalconf::Member;
use trust::xml::escape_text;

use crate::consumer;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::listener::Answer;

/// Answers `GET /listClients`.
pub(crate) fn list(core: &Core, head: &Parts) -> Answer {
    match listed(core, head) {
        Ok(answer) => answer,
        Err(fault) => consumer::error(core, head, fault),
    }
}

/// A client with its names.
struct Listed<'m> {
    id: ClientId,
    name: &'m str,
    subsystem_name: Option<&'m str>,
}

fn listed(core: &Core, head: &Parts) -> Result<Answer, Fault> {
    if head.method != Method::GET {
        return Err(Fault::new(Side::Client, Reason::BadRequest, "listClients is asked by GET only"));
    }
    let snapshot = core.configuration(Side::ClientProxy)?;
    let own = || core.config.server.owner().instance().to_owned();
    let wanted = instance(head.uri.query().unwrap_or_default())?.unwrap_or_else(own);
    let Ok(found) = snapshot.instance_of(&wanted) else {
        let shown: String = wanted.chars().filter(|character| !character.is_control()).take(64).collect();
        let message = format!("the instance {shown} is not known here. Check xRoadInstance");
        return Err(Fault::new(Side::ClientProxy, Reason::InternalError, message));
    };
    let clients: Vec<Listed<'_>> = found.shared().members.iter().flat_map(clients_of).collect();
    let (kind, body) = if accepts_json(head) {
        ("application/json; charset=utf-8", json_of(&clients))
    } else {
        ("text/xml; charset=UTF-8", xml_of(&clients))
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(answer)
}

/// The member, then its subsystems.
fn clients_of(member: &Member) -> Vec<Listed<'_>> {
    let name = member.name.as_str();
    let mut clients = vec![Listed { id: ClientId::of_member(member.id.clone()), name, subsystem_name: None }];
    for subsystem in &member.subsystems {
        if let Ok(id) = member.id.subsystem(&subsystem.code) {
            clients.push(Listed { id, name, subsystem_name: subsystem.name.as_deref() });
        }
    }
    clients
}

fn instance(query: &str) -> Result<Option<String>, Fault> {
    let given = query.split('&').take(64).find_map(|pair| pair.strip_prefix("xRoadInstance="));
    let Some(given) = given else { return Ok(None) };
    let decoded = percent_decode_str(given).decode_utf8();
    let decoded = decoded.map_err(|_| Fault::new(Side::Client, Reason::BadRequest, "xRoadInstance is not UTF-8"))?;
    Ok(Some(decoded.trim().to_owned()).filter(|instance| !instance.is_empty()))
}

/// Whether one of the accepted types is JSON; weights do not count (CODE).
fn accepts_json(head: &Parts) -> bool {
    let mut headers = head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_json =
        |range: &str| range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    headers.any(|header| header.split(',').any(is_json))
}

fn json_of(clients: &[Listed<'_>]) -> String {
    let member = |client: &Listed<'_>| {
        let member = client.id.member();
        let mut id = Map::new();
        id.insert("member_class".to_owned(), member.class().into());
        id.insert("member_code".to_owned(), member.code().into());
        if let Some(code) = client.id.subsystem() {
            id.insert("subsystem_code".to_owned(), code.into());
        }
        id.insert("object_type".to_owned(), object_type(&client.id).into());
        id.insert("xroad_instance".to_owned(), member.instance().into());
        let mut entry = Map::new();
        entry.insert("id".to_owned(), Json::Object(id));
        entry.insert("name".to_owned(), client.name.into());
        if let Some(name) = client.subsystem_name {
            entry.insert("subsystem_name".to_owned(), name.into());
        }
        Json::Object(entry)
    };
    json!({ "member": clients.iter().map(member).collect::<Vec<Json>>() }).to_string()
}

fn xml_of(clients: &[Listed<'_>]) -> String {
    let mut out = String::with_capacity(256 + 400 * clients.len());
    out.push_str(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<xroad:clientList \
         xmlns:id=\"http://x-road.eu/xsd/identifiers\" xmlns:xroad=\"http://x-road.eu/xsd/xroad.xsd\">",
    );
    for client in clients {
        let member = client.id.member();
        let _ = write!(out, "<xroad:member><xroad:id id:objectType=\"{}\">", object_type(&client.id));
        let parts = [
            ("xRoadInstance", Some(member.instance())),
            ("memberClass", Some(member.class())),
            ("memberCode", Some(member.code())),
            ("subsystemCode", client.id.subsystem()),
        ];
        for (part, value) in parts {
            if let Some(value) = value {
                let _ = write!(out, "<id:{part}>{}</id:{part}>", escape_text(value));
            }
        }
        let _ = write!(out, "</xroad:id><xroad:name>{}</xroad:name>", escape_text(client.name));
        if let Some(name) = client.subsystem_name {
            let _ = write!(out, "<xroad:subsystemName>{}</xroad:subsystemName>", escape_text(name));
        }
        out.push_str("</xroad:member>");
    }
    out.push_str("</xroad:clientList>");
    out
}

fn object_type(client: &ClientId) -> &'static str {
    if client.subsystem().is_some() { "SUBSYSTEM" } else { "MEMBER" }
}
