//! The services that the node itself answers by SOAP: X-Road's metaservices (PR-META; facts §1.3), and monitoring of the node (PR-OPMON).
//! They are real exchanges, signed and logged; anybody of the federation may ask for metaservices (CODE:
//! MetadataServiceHandlerImpl.shouldVerifyAccess), monitoring decides by itself who sees what.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use civic::ServiceId;
use trust::xml::escape_text;

use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::globalconf::Snapshot;
use crate::message::SoapRequest;
use crate::message::soap::{ContentType, IDENTIFIERS_NAMESPACE, MimeHeaders, SoapMessage, XROAD_NAMESPACE};
use crate::operations::{Caller, MonitoringAnswer, MonitoringRequest, is_monitoring_service};
use crate::registry::{Offer, Service, ServiceKind};
use crate::transport::Attachment;
use crate::wsdl;

const LIST_METHODS: &str = "listMethods";
const ALLOWED_METHODS: &str = "allowedMethods";
const GET_WSDL: &str = "getWsdl";

/// What a service said in SOAP.
pub(crate) struct SoapAnswer {
    pub(crate) message: SoapMessage,
    /// The headers of the SOAP part beside the Content-Type.
    pub(crate) headers: MimeHeaders,
    pub(crate) attachments: Vec<Attachment>,
    /// The Content-Type of the whole.
    pub(crate) original: ContentType,
}

/// Whether the node answers this service itself when it is asked by SOAP.
pub(crate) fn is_own(core: &Core, service: &ServiceId) -> bool {
    [LIST_METHODS, ALLOWED_METHODS, GET_WSDL].contains(&service.code())
        || is_monitoring_service(core.config.server.owner(), service)
}

/// Answers one of the node's own services.
pub(crate) async fn answer(
    core: &Core,
    offer: &Offer,
    snapshot: &Snapshot,
    request: &SoapRequest,
) -> Result<SoapAnswer, Fault> {
    let header = request.message.header();
    if is_monitoring_service(core.config.server.owner(), &header.service) {
        return monitoring(core, request).await;
    }
    let provider = header.service.client();
    let services = || offer.services_of(provider).filter(|service| service.kind == ServiceKind::Soap);
    match header.service.code() {
        LIST_METHODS => plain(request, &method_list("listMethodsResponse", services())),
        ALLOWED_METHODS => {
            let allowed = services().filter(|service| offer.is_allowed(snapshot, &header.client, &service.id, None));
            plain(request, &method_list("allowedMethodsResponse", allowed))
        }
        _ => get_wsdl(core, offer, request),
    }
}

async fn monitoring(core: &Core, request: &SoapRequest) -> Result<SoapAnswer, Fault> {
    let header = request.message.header();
    let asked = request.message.read_body(MonitoringRequest::read).map_err(unanswerable)??;
    let caller = Caller { client: header.client.clone(), server: header.server.clone() };
    let MonitoringAnswer { body, attachment } = asked.answer(core, &caller).await?;
    let answer = plain(request, &body)?;
    let Some((id, media_type, bytes)) = attachment else { return Ok(answer) };
    let headers = vec![
        ("Content-Type".to_owned(), media_type.to_owned()),
        ("Content-Transfer-Encoding".to_owned(), "binary".to_owned()),
        ("Content-ID".to_owned(), format!("<{id}>")),
    ];
    let original = ContentType::parse("multipart/related; type=\"text/xml\"; charset=UTF-8");
    Ok(SoapAnswer { attachments: vec![Attachment { headers, body: Bytes::from(bytes).into() }], original, ..answer })
}

fn plain(request: &SoapRequest, body: &str) -> Result<SoapAnswer, Fault> {
    let message = request.message.answer(body).map_err(unanswerable)?;
    let original = message.content_type().clone();
    Ok(SoapAnswer { message, headers: Vec::new(), attachments: Vec::new(), original })
}

fn method_list<'s>(name: &str, services: impl Iterator<Item = &'s Arc<Service>>) -> String {
    let mut out = format!("<xroad:{name} xmlns:xroad=\"{XROAD_NAMESPACE}\" xmlns:id=\"{IDENTIFIERS_NAMESPACE}\">");
    for service in services {
        out.push_str("<xroad:service id:objectType=\"SERVICE\">");
        let (client, member) = (service.id.client(), service.id.client().member());
        let parts = [
            ("xRoadInstance", Some(member.instance())),
            ("memberClass", Some(member.class())),
            ("memberCode", Some(member.code())),
            ("subsystemCode", client.subsystem()),
            ("serviceCode", Some(service.id.code())),
            ("serviceVersion", service.version.as_deref()),
        ];
        for (part, value) in parts.into_iter().filter_map(|(part, value)| Some((part, value?))) {
            let _ = write!(out, "<id:{part}>{}</id:{part}>", escape_text(value));
        }
        out.push_str("</xroad:service>");
    }
    let _ = write!(out, "</xroad:{name}>");
    out
}

/// The WSDL of a service is an attachment; its text is the one that the registry keeps.
fn get_wsdl(core: &Core, offer: &Offer, request: &SoapRequest) -> Result<SoapAnswer, Fault> {
    let refused = |reason, message: String| Fault::new(Side::ServerProxy, reason, message);
    let argument = |name| request.message.argument(name).map_err(unanswerable);
    let code = argument("serviceCode")?.filter(|code| !code.trim().is_empty());
    let version = argument("serviceVersion")?.filter(|version| !version.is_empty());
    let code =
        code.ok_or_else(|| refused(Reason::InvalidRequest, "serviceCode is missing in the body. Name it".to_owned()))?;
    let provider = request.message.header().service.client();
    let wanted =
        provider.service(&code).map_err(|error| refused(Reason::InvalidRequest, format!("{error}. Correct it")))?;
    let service = offer
        .service(&wanted, version.as_deref())
        .ok_or_else(|| refused(Reason::UnknownService, format!("{wanted} does not exist. Ask listMethods")))?;
    if service.kind != ServiceKind::Soap {
        let message = format!("{wanted} is a REST service and has no WSDL. Ask getOpenAPI");
        return Err(refused(Reason::InvalidServiceType, message));
    }
    let text = service
        .description
        .as_deref()
        .ok_or_else(|| refused(Reason::UnknownService, format!("{wanted} has no WSDL here. Its owner is to add it")))?;
    let given = wsdl::anonymised(text).map_err(fault(
        Side::ServerProxy,
        Reason::InternalError,
        "The WSDL of the service is to be corrected by its owner",
    ))?;
    let mut body = format!("<xroad:getWsdlResponse xmlns:xroad=\"{XROAD_NAMESPACE}\">");
    for (name, value) in [("serviceCode", Some(&code)), ("serviceVersion", version.as_ref())] {
        if let Some(value) = value {
            let _ = write!(body, "<xroad:{name}>{}</xroad:{name}>", escape_text(value));
        }
    }
    body.push_str("</xroad:getWsdlResponse>");
    let attachment = Attachment {
        headers: vec![
            ("Content-Type".to_owned(), "text/xml".to_owned()),
            ("Content-Transfer-Encoding".to_owned(), "binary".to_owned()),
            ("Content-ID".to_owned(), format!("<wsdl={}@x-road.eu>", core.uuid())),
        ],
        body: Bytes::from(given).into(),
    };
    let original = ContentType::parse("multipart/related; type=\"text/xml\"; charset=UTF-8");
    Ok(SoapAnswer { attachments: vec![attachment], original, ..plain(request, &body)? })
}

fn unanswerable(error: impl std::fmt::Display) -> Fault {
    fault(Side::ServerProxy, Reason::InvalidMessage, "Correct the message")(error)
}
