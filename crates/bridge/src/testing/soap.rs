use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use civic::ServiceId;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::service::Recorded;
use super::{CLIENT, PROVIDER, TwoNodes, need};
use crate::message::soap::{ContentType, Related, Soap, SoapMessage, closing_delimiter, part_head};
use crate::registry::{Author, Change, NewService, ServiceKind, Subject};

/// The SOAP services of the test: the end of their code says what they do.
pub const SOAP_SERVICES: [&str; 9] =
    ["getState", "getFiles", "getFault", "getOther", "getLatin1", "getStatus", "getText", "getBroken", "getMuch"];

/// The WSDL of `getState` and `getFiles` (zeep and others call by it).
pub const WSDL: &str = include_str!("state.wsdl");

/// A fault as a service writes it, with details of its own.
pub const SERVICE_FAULT: &str = "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
     <s:Fault><faultcode>s:Client.Unknown</faultcode><faultstring>no such parcel</faultstring><detail><p:parcel xmlns:p=\"urn:p\">7\
     </p:parcel></detail></s:Fault></s:Body></s:Envelope>";

/// An information system that speaks SOAP and remembers.
pub struct SoapService {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Recorded>>>,
    _stop: DropGuard,
}

impl SoapService {
    /// Starts it on the loopback.
    pub async fn start() -> Self {
        let listener = need(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
        let address = need(listener.local_addr());
        let seen: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let router = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&seen));
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        Self { address, seen, _stop: stop.drop_guard() }
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}/soap", self.address)
    }

    /// All requests that came.
    pub fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts its services behind the provider's node of a test federation and lets the client use them.
    pub async fn offer(&self, nodes: &TwoNodes) {
        offer_soap(nodes, &self.url(), &SOAP_SERVICES.map(|code| (code, Some("v1"))), WSDL).await;
    }
}

/// Offers SOAP services at an address behind the provider's node, all to the client of the test.
pub async fn offer_soap(nodes: &TwoNodes, url: &str, services: &[(&str, Option<&str>)], wsdl: &str) {
    let registry = nodes.provider.registry();
    let id = |code: &str| need::<ServiceId, _>(format!("{PROVIDER}/{code}").parse());
    let new = |(code, version): &(&str, Option<&str>)| NewService {
        id: id(code),
        version: version.map(str::to_owned),
        title: None,
        url: url.to_owned(),
        endpoints: Vec::new(),
    };
    let add = Change::AddDescription {
        client: need(PROVIDER.parse()),
        description_kind: ServiceKind::Soap,
        url: format!("{url}?wsdl"),
        text: Some(wsdl.to_owned()),
        services: services.iter().map(new).collect(),
    };
    let author = Author::CommandLine;
    let number = need(registry.apply(&author, add).await).unwrap_or_default();
    let enable = Change::EnableDescription { number, enabled: true, notice: None };
    need(registry.apply(&author, enable).await);
    for (code, _) in services {
        let subject = Subject::Client(need(CLIENT.parse()));
        need(registry.apply(&author, Change::GiveRight { subject, service: id(code), endpoint: None }).await);
    }
}

async fn answer(
    State(seen): State<Arc<Mutex<Vec<Recorded>>>>,
    method: axum::http::Method,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let recorded = Recorded { method, target, headers: headers.clone(), body: body.clone() };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    match Related::read(content_type, &body) {
        Ok((Soap::Message(request), attachments)) => reply(&request, attachments),
        _ => (StatusCode::BAD_REQUEST, "no SOAP message").into_response(),
    }
}

fn reply(request: &SoapMessage, attachments: Vec<(Vec<(String, String)>, axum::body::Bytes)>) -> Response {
    let code = request.header().service.code();
    let answer = |inside: &str| {
        let content =
            format!("<p:{code}Response xmlns:p=\"http://registry.example/state\">{inside}</p:{code}Response>");
        need(request.answer(&content))
    };
    let xml = |message: &SoapMessage| {
        ([("content-type", "text/xml; charset=UTF-8")], message.bytes().clone()).into_response()
    };
    match code {
        "getFault" => {
            (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/xml")], SERVICE_FAULT).into_response()
        }
        "getStatus" => (StatusCode::NOT_FOUND, [("content-type", "text/xml")], SERVICE_FAULT).into_response(),
        "getText" => ([("content-type", "text/plain")], "hello").into_response(),
        "getBroken" => ([("content-type", "text/xml")], "<not-soap/>").into_response(),
        "getOther" => {
            let text = String::from_utf8_lossy(answer("").bytes()).replace("<x:id>", "<x:id>other-");
            ([("content-type", "text/xml")], text).into_response()
        }
        "getLatin1" => {
            let text = String::from_utf8_lossy(answer("<state>é</state>").bytes()).replace("utf-8", "ISO-8859-1");
            let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
            ([("content-type", "text/xml; charset=ISO-8859-1")], bytes).into_response()
        }
        "getMuch" => {
            let much = ("application/octet-stream", Bytes::from(vec![b'm'; 700_000]));
            related(&answer("<state>much</state>"), &[(Vec::new(), much.1)])
        }
        "getFiles" => related(&answer("<state>files</state>"), &attachments),
        _ if attachments.is_empty() => xml(&answer("<p:state>fine é</p:state>")),
        _ => related(&answer("<p:state>fine</p:state>"), &attachments),
    }
}

/// The attachments that came go back, or one of its own.
fn related(message: &SoapMessage, attachments: &[(Vec<(String, String)>, Bytes)]) -> Response {
    let own = [(vec![("Content-ID".to_owned(), "<own@registry>".to_owned())], Bytes::from_static(b"a file\r\n--"))];
    let all = if attachments.is_empty() { &own[..] } else { attachments };
    let kind = ContentType::parse("multipart/related; type=\"text/xml\"; start=\"<root>\"; boundary=service-1");
    let root = [("Content-ID".to_owned(), "<root>".to_owned())];
    let mut out = part_head("service-1", true, Some("text/xml; charset=UTF-8"), &root).to_vec();
    out.extend_from_slice(message.bytes());
    for (headers, content) in all {
        let own_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let fallback = (!own_type).then_some("application/octet-stream");
        out.extend_from_slice(&part_head("service-1", false, fallback, headers));
        out.extend_from_slice(content);
    }
    out.extend_from_slice(&closing_delimiter("service-1"));
    ([("content-type", kind.to_string())], out).into_response()
}
