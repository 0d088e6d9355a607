//! One record of operational data and its form in JSON.

use civic::{ClientId, ServiceId, Timestamp};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::config::SubjectRule;
use crate::registry::ServiceKind;

/// The names of all fields that a query may ask for (PR-OPMON §2, with `xRequestId` of the code).
pub const FIELDS: [&str; 40] = [
    "monitoringDataTs",
    "securityServerInternalIp",
    "securityServerType",
    "requestInTs",
    "requestOutTs",
    "responseInTs",
    "responseOutTs",
    "clientXRoadInstance",
    "clientMemberClass",
    "clientMemberCode",
    "clientSubsystemCode",
    "serviceXRoadInstance",
    "serviceMemberClass",
    "serviceMemberCode",
    "serviceSubsystemCode",
    "serviceCode",
    "restMethod",
    "restPath",
    "xRoadVersion",
    "serviceVersion",
    "representedPartyClass",
    "representedPartyCode",
    "messageId",
    "messageUserId",
    "messageIssue",
    "messageProtocolVersion",
    "clientSecurityServerAddress",
    "serviceSecurityServerAddress",
    "requestSize",
    "responseSize",
    "requestMimeSize",
    "requestAttachmentCount",
    "responseMimeSize",
    "responseAttachmentCount",
    "succeeded",
    "faultCode",
    "faultString",
    "xRequestId",
    "statusCode",
    "serviceType",
];

/// The field that only the owner of the node and the central monitoring client see.
pub(super) const INTERNAL_IP: &str = "securityServerInternalIp";
/// The moment of the record.
pub(super) const MONITORING_DATA_TS: &str = "monitoringDataTs";

/// Texts of a record are cut to this many characters (the schema of X-Road).
const TEXT_CHARS_MAX: usize = 255;
/// The fault text is cut to this many characters (the schema of X-Road).
const FAULT_CHARS_MAX: usize = 2_048;
/// So many digits in a row may be the number of a person.
const PERSONAL_DIGITS: usize = 9;
/// What stands in place of a number.
const MASK: &str = "***";

/// On which side of an exchange a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerType {
    /// The node of the caller.
    Client,
    /// The node of the service.
    Producer,
}

/// One exchange as one node saw it. Sizes are bytes, moments are written as milliseconds.
#[derive(Clone, Debug)]
pub struct OperationalData {
    /// Which side this is.
    pub server_type: ServerType,
    /// When the request came in.
    pub request_in: Timestamp,
    /// When it was sent on.
    pub request_out: Option<Timestamp>,
    /// When the answer came.
    pub response_in: Option<Timestamp>,
    /// When the answer was sent on.
    pub response_out: Timestamp,
    /// Who asked.
    pub client: Option<ClientId>,
    /// What was asked for.
    pub service: Option<ServiceId>,
    /// The version of the service (SOAP).
    pub service_version: Option<String>,
    /// Who was represented: class, where it was given, and code.
    pub represented_party: Option<(Option<String>, String)>,
    /// X-Road-Id.
    pub message_id: Option<String>,
    /// The issue that the caller named.
    pub issue: Option<String>,
    /// `1` for r1, `4.0` for SOAP.
    pub protocol_version: Option<String>,
    /// The registered address of the node of the caller.
    pub client_server_address: Option<String>,
    /// The registered address of the node of the service.
    pub service_server_address: Option<String>,
    /// The message of the request: header part and body, or the SOAP part.
    pub request_size: Option<u64>,
    /// The message of the answer.
    pub response_size: Option<u64>,
    /// The request with its attachments (SOAP).
    pub request_mime_size: Option<u64>,
    /// The answer with its attachments (SOAP).
    pub response_mime_size: Option<u64>,
    /// Attachments of the request.
    pub request_attachments: Option<u32>,
    /// Attachments of the answer.
    pub response_attachments: Option<u32>,
    /// Whether the service answered and its answer is no error.
    pub succeeded: bool,
    /// The type of the fault.
    pub fault_code: Option<String>,
    /// The words of the fault.
    pub fault_string: Option<String>,
    /// x-road-request-id.
    pub x_request_id: Option<String>,
    /// The HTTP status of the service.
    pub status_code: Option<u16>,
    /// What the service is; `None` where it is not known here.
    pub service_type: Option<ServiceKind>,
    /// The verb.
    pub rest_method: Option<&'static str>,
    /// The path after the service code, masked; on the side of the service only, as X-Road does.
    pub rest_path: Option<String>,
}

impl ServerType {
    /// The word of the records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Producer => "Producer",
        }
    }
}

impl OperationalData {
    /// A record of an exchange of which nothing is known yet but when it began.
    pub const fn begun(server_type: ServerType, at: Timestamp) -> Self {
        Self {
            server_type,
            request_in: at,
            request_out: None,
            response_in: None,
            response_out: at,
            client: None,
            service: None,
            service_version: None,
            represented_party: None,
            message_id: None,
            issue: None,
            protocol_version: None,
            client_server_address: None,
            service_server_address: None,
            request_size: None,
            response_size: None,
            request_mime_size: None,
            response_mime_size: None,
            request_attachments: None,
            response_attachments: None,
            succeeded: false,
            fault_code: None,
            fault_string: None,
            x_request_id: None,
            status_code: None,
            service_type: None,
            rest_method: None,
            rest_path: None,
        }
    }

    /// How long the exchange took at this node, milliseconds.
    pub const fn duration_ms(&self) -> i64 {
        self.response_out.millis().saturating_sub(self.request_in.millis())
    }

    /// The JSON object with X-Road's names; what is not known is left out. Free texts lose what may be the number of a person.
    pub(super) fn json(&self, internal_ip: &str, stored_s: i64) -> String {
        let mut fields = Fields::new();
        fields.put(MONITORING_DATA_TS, Some(stored_s));
        fields.put(INTERNAL_IP, Some(internal_ip));
        fields.put("securityServerType", Some(self.server_type.as_str()));
        self.write_moments(&mut fields);
        self.write_ids(&mut fields);
        self.write_message(&mut fields);
        self.write_outcome(&mut fields);
        fields.end()
    }

    fn write_moments(&self, fields: &mut Fields) {
        fields.put("requestInTs", Some(self.request_in.millis()));
        fields.put("requestOutTs", self.request_out.map(Timestamp::millis));
        fields.put("responseInTs", self.response_in.map(Timestamp::millis));
        fields.put("responseOutTs", Some(self.response_out.millis()));
    }

    fn write_ids(&self, fields: &mut Fields) {
        let names = ["clientXRoadInstance", "clientMemberClass", "clientMemberCode", "clientSubsystemCode"];
        fields.put_client(names, self.client.as_ref());
        let names = ["serviceXRoadInstance", "serviceMemberClass", "serviceMemberCode", "serviceSubsystemCode"];
        fields.put_client(names, self.service.as_ref().map(ServiceId::client));
        fields.put_text("serviceCode", self.service.as_ref().map(ServiceId::code));
        fields.put_text("serviceVersion", self.service_version.as_deref());
        fields.put_text("restMethod", self.rest_method);
        fields.put_text("restPath", self.rest_path.as_deref());
        fields.put_text("xRoadVersion", Some(crate::PROTOCOL_VERSION));
        if let Some((class, code)) = &self.represented_party {
            fields.put_text("representedPartyClass", class.as_deref());
            fields.put_text("representedPartyCode", Some(&masked_text(code)));
        }
    }

    fn write_message(&self, fields: &mut Fields) {
        fields.put_text("messageId", self.message_id.as_deref());
        fields.put_text("messageIssue", self.issue.as_deref().map(masked_text).as_deref());
        fields.put_text("messageProtocolVersion", self.protocol_version.as_deref());
        fields.put_text("clientSecurityServerAddress", self.client_server_address.as_deref());
        fields.put_text("serviceSecurityServerAddress", self.service_server_address.as_deref());
        fields.put("requestSize", self.request_size);
        fields.put("responseSize", self.response_size);
        fields.put("requestMimeSize", self.request_mime_size);
        fields.put("requestAttachmentCount", self.request_attachments);
        fields.put("responseMimeSize", self.response_mime_size);
        fields.put("responseAttachmentCount", self.response_attachments);
    }

    fn write_outcome(&self, fields: &mut Fields) {
        fields.put("succeeded", Some(self.succeeded));
        fields.put_text("faultCode", self.fault_code.as_deref());
        let words = self.fault_string.as_deref().map(masked_text);
        fields.put("faultString", words.as_deref().map(|words| cut(words, FAULT_CHARS_MAX)));
        fields.put_text("xRequestId", self.x_request_id.as_deref());
        fields.put("statusCode", self.status_code);
        fields.put_text("serviceType", self.service_type.map(kind_word));
    }
}

/// The path of a request without what names a person: the segment that the service declares as its subject, and every segment that
/// holds a long number. `None` where the path could be read in two ways: then nobody knows which segment is which.
pub(super) fn masked_path(raw: &str, rule: &SubjectRule) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let inner = raw.strip_prefix('/').unwrap_or(raw);
    if inner.is_empty() {
        return Some(raw.to_owned());
    }
    let last = inner.split('/').count() - 1;
    for (position, segment) in inner.split('/').enumerate() {
        if segment.is_empty() && position != last {
            return None;
        }
        let decoded = percent_decode_str(segment).decode_utf8().ok()?;
        if decoded.contains(['/', '\\', ';', '%', '?', '#']) || decoded.chars().any(char::is_control) {
            return None;
        }
        let is_subject = matches!(rule, SubjectRule::PathSegment(at) if *at == position);
        out.push('/');
        if is_subject {
            out.push_str(MASK);
        } else {
            out.push_str(&masked_text(&decoded));
        }
    }
    Some(cut(&out, TEXT_CHARS_MAX).to_owned())
}

/// A text without the numbers that may name a person: runs of at least nine digits, also where single spaces, dots or hyphens part
/// them. UUIDs are no such numbers.
pub(super) fn masked_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_word = false;
    while let Some(first) = rest.chars().next() {
        let taken = if !in_word && rest.get(..36).is_some_and(is_uuid) {
            out.push_str(rest.get(..36).unwrap_or_default());
            36
        } else if first.is_ascii_digit() {
            let (length, digits) = number_run(rest);
            out.push_str(if digits >= PERSONAL_DIGITS { MASK } else { rest.get(..length).unwrap_or_default() });
            length
        } else {
            out.push(first);
            first.len_utf8()
        };
        let (done, left) = rest.split_at(taken);
        in_word = done.ends_with(|last: char| last.is_ascii_alphanumeric());
        rest = left;
    }
    out
}

/// The length in bytes of the number that a text starts with, and how many digits it has.
fn number_run(text: &str) -> (usize, usize) {
    let (mut length, mut digits, mut parted) = (0, 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                length = at + 1;
                parted = false;
            }
            b' ' | b'-' | b'.' if !parted => parted = true,
            _ => break,
        }
    }
    (length, digits)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What a service is, in the words of X-Road.
pub(super) const fn kind_word(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Soap => "WSDL",
        ServiceKind::Rest => "REST",
        ServiceKind::OpenApi => "OPENAPI3",
    }
}

/// A JSON object that is written field by field: one for each exchange, so no tree of values is built first.
struct Fields(Vec<u8>);

impl Fields {
    fn new() -> Self {
        let mut text = Vec::with_capacity(1_024);
        text.push(b'{');
        Self(text)
    }

    fn put<V: Serialize>(&mut self, name: &str, value: Option<V>) {
        let Some(value) = value else { return };
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        // Texts and numbers always have a form in JSON, and a vector takes every byte.
        let _ = serde_json::to_writer(&mut self.0, name);
        self.0.push(b':');
        let _ = serde_json::to_writer(&mut self.0, &value);
    }

    fn put_text(&mut self, name: &str, value: Option<&str>) {
        self.put(name, value.map(|text| cut(text, TEXT_CHARS_MAX)));
    }

    fn put_client(&mut self, names: [&str; 4], client: Option<&ClientId>) {
        let Some(client) = client else { return };
        let [instance, class, code, subsystem] = names;
        self.put_text(instance, Some(client.member().instance()));
        self.put_text(class, Some(client.member().class()));
        self.put_text(code, Some(client.member().code()));
        self.put_text(subsystem, client.subsystem());
    }

    fn end(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).unwrap_or_default()
    }
}

fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_without_the_person_whom_it_names() {
        let subject = &SubjectRule::PathSegment(1);
        assert_eq!(masked_path("/people/1234198012345/name", subject).unwrap(), "/people/***/name");
        assert_eq!(masked_path("/people/x-7/name", subject).unwrap(), "/people/***/name", "whatever stands there");
        assert_eq!(masked_path("/p/1234198012345", &SubjectRule::None).unwrap(), "/p/***", "undeclared numbers too");
        assert_eq!(masked_path("/p/1%32341980123%345", &SubjectRule::None).unwrap(), "/p/***", "decoded first");
        assert_eq!(masked_path("/income/2025", &SubjectRule::Permit).unwrap(), "/income/2025");
        assert_eq!(masked_path("", &SubjectRule::None).unwrap(), "");
        for two_readings in ["/a;x/b", "/a%2Fb", "//a", "/a//b", "/a%252F", "/a\\b", "/%ff"] {
            assert_eq!(masked_path(two_readings, subject), None, "{two_readings}");
        }
    }

    #[test]
    fn numbers_of_people_are_taken_out_of_words_and_ids_stay() {
        for (text, masked) in [
            ("no record of 1234198012345", "no record of ***"),
            ("EE37701010101", "EE***"),
            ("1 234 1980 12345.", "***."),
            ("port 5500 of 10.0.0.1", "port 5500 of 10.0.0.1"),
            ("MT324223MSD", "MT324223MSD"),
            ("BB-123e4567-e89b-12d3-a456-426614174000", "BB-123e4567-e89b-12d3-a456-426614174000"),
            ("é 123456789é", "é ***é"),
        ] {
            assert_eq!(masked_text(text), masked);
        }
    }

    #[test]
    fn a_full_record_has_only_names_that_a_query_may_ask_for() {
        let at = Timestamp::from_millis(1_477_633_844_973);
        let record = OperationalData {
            request_out: Some(at),
            response_in: Some(at),
            client: Some("BB/COM/2001/credit".parse().unwrap()),
            service: Some("BB/GOV/1002/fisc/person".parse().unwrap()),
            service_version: Some("v1".to_owned()),
            represented_party: Some((Some("COM".to_owned()), "1234198012345".to_owned())),
            message_id: Some("m-1".to_owned()),
            issue: Some("file of 1234198012345".to_owned()),
            protocol_version: Some("1".to_owned()),
            client_server_address: Some("a".to_owned()),
            service_server_address: Some("b".to_owned()),
            request_size: Some(1),
            response_size: Some(2),
            request_mime_size: Some(3),
            response_mime_size: Some(4),
            request_attachments: Some(0),
            response_attachments: Some(0),
            fault_code: Some("server.x".to_owned()),
            fault_string: Some("nobody is 1234198012345".to_owned()),
            x_request_id: Some("r".to_owned()),
            status_code: Some(404),
            service_type: Some(ServiceKind::OpenApi),
            rest_method: Some("GET"),
            rest_path: Some("/x".to_owned()),
            ..OperationalData::begun(ServerType::Producer, at)
        };
        let text = record.json("10.0.0.1", 1_477_633_845);
        assert!(!text.contains("1234198012345"), "{text}");
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let absent: Vec<&str> = FIELDS.into_iter().filter(|name| !json.contains_key(*name)).collect();
        assert_eq!(absent, ["messageUserId"], "the user is a person: never kept");
        assert_eq!(json.len(), FIELDS.len() - 1);
        assert_eq!(json["requestInTs"], 1_477_633_844_973_i64);
        assert_eq!(json["serviceType"], "OPENAPI3");
    }
}
