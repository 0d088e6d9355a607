//! SOAP on the side of the caller: `POST` of a SOAP message to the node, whatever the path; and the old `GET /wsdl`.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use civic::{ClientId, ServiceId};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use trust::xml::escape_text;

use super::answer::{NOT_ACCEPTED, malformed};
use super::exchange::{self, Answered};
use super::send::Dispatch;
use trust::digest::DigestAlgorithm;

use crate::core::Core;
use crate::fault::{Fault, Reason, Side};
use crate::internal_tls;
use crate::listener::{Answer, Reply};
use crate::message::soap::{
    ContentType, IDENTIFIERS_NAMESPACE, MimeHeaders, SOAP_NAMESPACE, Soap, SoapError, SoapFault, SoapMessage,
    XROAD_NAMESPACE, soap_action,
};
use crate::message::{AnyRequest, AnyResponse, SoapRequest};
use crate::messagelog::Role;
use crate::operations::Observed;
use crate::pace::Pace;
use crate::soap_io::{self, ArrivalError, SoapDeparture};

/// A WSDL may have this many bytes.
const WSDL_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Whether an application speaks SOAP: a POST that is not to `/r1/…`, or anything that carries a SOAP message there.
pub(super) fn is_soap(head: &Parts) -> bool {
    let path = head.uri.path();
    let version = path.strip_prefix("/r").and_then(|rest| rest.split('/').next());
    if version.is_some_and(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())) {
        return false;
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(ContentType::parse);
    head.method == Method::POST || content_type.is_some_and(|kind| kind.is_soap() || kind.is_related())
}

/// Answers a SOAP request.
pub(super) async fn exchange(
    core: &Arc<Core>,
    head: &Parts,
    body: &mut Incoming,
    observed: &Observed,
) -> Result<Reply, Fault> {
    let client_error =
        |error: &SoapError| Fault::new(Side::Client, error.reason(), format!("{error}. Correct the request"));
    if head.method != Method::POST {
        return Err(Fault::new(Side::Client, Reason::InvalidHttpMethod, "SOAP messages are sent by POST"));
    }
    let action = head.headers.get("soapaction").map(|value| value.to_str().map_err(|_| SoapError::SoapAction));
    let action = action.transpose().and_then(|action| soap_action(action).map(|()| action));
    let action = action.map_err(|error| client_error(&error))?;
    let limits = core.config.limits;
    let pace = Pace::new(limits.request_timeout, limits.bytes_per_s_min);
    let arrival = soap_io::read(core, &head.headers, body, pace).await.map_err(|error| match error {
        ArrivalError::Soap(error) => client_error(&error),
        ArrivalError::Pace(error) => exchange::body_fault(error),
        ArrivalError::TooLarge(_) => exchange::too_large(core),
        ArrivalError::Spool(error) => exchange::spool_fault(error),
    })?;
    let message = match arrival.soap {
        Soap::Message(message) => *message,
        Soap::Fault(fault) => {
            // X-Road answers a fault with the fault.
            let code = format!("client.{}", fault.code.to_lowercase());
            return Err(Fault::remote(&code, &fault.string, fault.detail.as_deref().unwrap_or_default()));
        }
    };
    let request = AnyRequest::Soap(Box::new(SoapRequest {
        message,
        headers: arrival.headers,
        original: arrival.original,
        action: action.map(str::to_owned),
        request_id: core.uuid(),
    }));
    observed.asked(&request, None);
    let targets = exchange::permitted(core, head, &request, observed)?;
    let dispatch =
        Dispatch { core, targets: &targets, request: &request, head, hash: DigestAlgorithm::Sha512, observed };
    let answered = exchange::exchange_kept(&dispatch, arrival.attachments).await?;
    super::answer::to_http(core, &answered)
}

/// Reads the SOAP part of an answer.
pub(super) fn read_answer(content_type: &str, headers: &MimeHeaders, bytes: &Bytes) -> Result<AnyResponse, Fault> {
    match SoapMessage::parse(content_type, bytes.clone()) {
        Ok(Soap::Message(message)) => Ok(AnyResponse::Soap(message, headers.clone())),
        Ok(Soap::Fault(_)) => {
            Err(Fault::behind(Side::ClientProxy, Reason::InvalidMessage, "a fault was signed as an answer"))
        }
        Err(error) => {
            let message = format!("{error}. The provider's node is to be looked at");
            Err(Fault::behind(Side::ClientProxy, error.reason(), message))
        }
    }
}

/// The answer must repeat the header of its request and name its hash.
pub(super) fn compare(request: &SoapMessage, response: &SoapMessage) -> Result<(), Fault> {
    if let Some(field) = response.mismatch(request) {
        let message = format!("the answer has another {field} than the request. {NOT_ACCEPTED}");
        return Err(Fault::behind(Side::ClientProxy, Reason::InconsistentResponse, message));
    }
    if !response.names_hash_of(request) {
        let message = format!("the answer does not name the hash of the request. {NOT_ACCEPTED}");
        return Err(Fault::new(Side::ClientProxy, Reason::InconsistentResponse, message));
    }
    Ok(())
}

/// The answer as the application gets it.
pub(super) fn to_http(
    core: &Core,
    message: &SoapMessage,
    headers: &MimeHeaders,
    answered: &Answered,
) -> Result<Reply, Fault> {
    let original = answered.original.as_deref().map(ContentType::parse);
    let content_type = message.content_type().to_string();
    let departure = SoapDeparture {
        content_type: &content_type,
        headers,
        bytes: message.bytes(),
        attachments: &answered.attachments,
        original: original.as_ref(),
    };
    let (whole_type, flow) = departure.write(core);
    let mut reply = Response::new(flow);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_str(&whole_type).map_err(malformed)?);
    Ok(reply)
}

/// A fault as an application that speaks SOAP gets it: always with 500 (PR-MESS §2.8). It is logged here, once.
pub(super) fn error(core: &Core, fault: Fault) -> Answer {
    let fault = core.logged(Role::Consumer, fault);
    let xml = match fault.raw() {
        Some(raw) => Bytes::copy_from_slice(raw.as_bytes()),
        None => SoapFault {
            code: fault.code_in(core.config.error_style),
            string: fault.message().to_owned(),
            detail: Some(fault.detail().to_owned()),
            ..SoapFault::default()
        }
        .to_xml(),
    };
    let mut answer = Response::new(Full::new(xml));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=UTF-8"));
    answer
}

/// `GET /wsdl?xRoadInstance=…&memberClass=…&memberCode=…[&subsystemCode=…]&serviceCode=…[&version=…]`: the WSDL of a service. X-Road
/// took this route out in 2020; clients of other federations still use it. The node asks getWsdl as one of its own clients.
pub(super) async fn wsdl(core: &Arc<Core>, head: &Parts, observed: &Observed) -> Result<Answer, Fault> {
    let (service, version) = wanted(head.uri.query().unwrap_or_default())?;
    let client = own_client(core, head)?;
    let metaservice = service.client().service("getWsdl").map_err(|error| bad_request(&error))?;
    let text = ask_wsdl(&client, &metaservice, &service, version.as_deref(), &core.uuid());
    let unreadable = |error: SoapError| bad_request(&error);
    let Soap::Message(message) =
        SoapMessage::parse("text/xml; charset=UTF-8", Bytes::from(text)).map_err(unreadable)?
    else {
        return Err(bad_request(&"the request is a fault"));
    };
    let request = AnyRequest::Soap(Box::new(SoapRequest {
        original: message.content_type().clone(),
        message: *message,
        headers: Vec::new(),
        action: None,
        request_id: core.uuid(),
    }));
    observed.asked(&request, None);
    let targets = exchange::permitted(core, head, &request, observed)?;
    let dispatch =
        Dispatch { core, targets: &targets, request: &request, head, hash: DigestAlgorithm::Sha512, observed };
    let answered = exchange::exchange_kept(&dispatch, Vec::new()).await?;
    let missing = || {
        let message = "the provider's node answered without a WSDL. It is to be looked at";
        Fault::new(Side::ClientProxy, Reason::InvalidMessage, message)
    };
    let body = &answered.attachments.first().ok_or_else(missing)?.body;
    let text = body.bytes(WSDL_BYTES_MAX).await.map_err(exchange::spool_fault)?;
    let mut answer = Response::new(Full::new(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=UTF-8"));
    Ok(answer)
}

fn wanted(query: &str) -> Result<(ServiceId, Option<String>), Fault> {
    let pairs: Vec<(&str, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(name, value)| {
            let value = value.replace('+', "%20");
            Some((name, percent_encoding::percent_decode_str(&value).decode_utf8().ok()?.into_owned()))
        })
        .collect();
    let get = |name: &str| pairs.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
    let need = |name: &'static str| get(name).ok_or_else(|| bad_request(&format!("the parameter {name} is missing")));
    let member = civic::MemberId::new(need("xRoadInstance")?, need("memberClass")?, need("memberCode")?);
    let member = member.map_err(|error| bad_request(&error))?;
    let client = match get("subsystemCode") {
        Some(code) => member.subsystem(code).map_err(|error| bad_request(&error))?,
        None => ClientId::of_member(member),
    };
    let service = client.service(need("serviceCode")?).map_err(|error| bad_request(&error))?;
    let version = get("version").or_else(|| get("serviceVersion")).filter(|version| !version.is_empty());
    Ok((service, version.map(str::to_owned)))
}

/// The first of the node's clients that this caller may speak for.
fn own_client(core: &Core, head: &Parts) -> Result<ClientId, Fault> {
    let snapshot = core.configuration(Side::ClientProxy)?;
    let offer = core.registry.current();
    let mut clients: Vec<&ClientId> = offer
        .clients
        .keys()
        .filter(|id| offer.open_client(id).is_some() && snapshot.serves(&core.config.server, id))
        .filter(|id| internal_tls::admit_client(core, head, id).is_ok())
        .collect();
    clients.sort();
    clients.first().map(|client| (*client).clone()).ok_or_else(|| {
        let message = "this node serves no client that could ask over this connection. Register a subsystem, or come \
                       over HTTPS with a certificate that one of them knows";
        Fault::new(Side::ClientProxy, Reason::UnknownMember, message)
    })
}

fn ask_wsdl(
    client: &ClientId,
    metaservice: &ServiceId,
    service: &ServiceId,
    version: Option<&str>,
    id: &str,
) -> String {
    let mut out = format!(
        "<soap:Envelope xmlns:soap=\"{SOAP_NAMESPACE}\" xmlns:xroad=\"{XROAD_NAMESPACE}\" xmlns:id=\"{IDENTIFIERS_NAMESPACE}\">\
         <soap:Header>"
    );
    let kind = if client.subsystem().is_some() { "SUBSYSTEM" } else { "MEMBER" };
    write_id(&mut out, "client", kind, client, None);
    write_id(&mut out, "service", "SERVICE", metaservice.client(), Some(metaservice.code()));
    let _ = write!(
        out,
        "<xroad:id>{}</xroad:id><xroad:protocolVersion>4.0</xroad:protocolVersion></soap:Header><soap:Body><xroad:getWsdl>\
         <xroad:serviceCode>{}</xroad:serviceCode>",
        escape_text(id),
        escape_text(service.code())
    );
    if let Some(version) = version {
        let _ = write!(out, "<xroad:serviceVersion>{}</xroad:serviceVersion>", escape_text(version));
    }
    out.push_str("</xroad:getWsdl></soap:Body></soap:Envelope>");
    out
}

fn write_id(out: &mut String, name: &str, kind: &str, client: &ClientId, service: Option<&str>) {
    let _ = write!(out, "<xroad:{name} id:objectType=\"{kind}\">");
    let member = client.member();
    for (part, value) in [
        ("xRoadInstance", Some(member.instance())),
        ("memberClass", Some(member.class())),
        ("memberCode", Some(member.code())),
        ("subsystemCode", client.subsystem()),
        ("serviceCode", service),
    ] {
        if let Some(value) = value {
            let _ = write!(out, "<id:{part}>{}</id:{part}>", escape_text(value));
        }
    }
    let _ = write!(out, "</xroad:{name}>");
}

fn bad_request(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Side::Client, Reason::BadRequest, format!("{error}. Correct the request"))
}
