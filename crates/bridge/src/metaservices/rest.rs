//! `listMethods`, `allowedMethods` and `getOpenAPI` by REST, in the JSON that X-Road writes (CODE: snake case).

use bytes::Bytes;
use civic::ServiceId;
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use super::{ALLOWED_METHODS, GET_OPENAPI, LIST_METHODS, may_use, may_use_endpoint, openapi, services};
use crate::access::Endpoint;
use crate::core::Core;
use crate::fault::{Fault, Reason, Side, fault};
use crate::globalconf::Snapshot;
use crate::message::{RestRequest, Verb};
use crate::registry::{Offer, Service, ServiceKind};

/// A description that is fetched may have so many bytes.
const DESCRIPTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a metaservice answers: media type and body.
pub(crate) struct Described {
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// Whether a request goes to a metaservice (CODE: by GET only; other verbs find no service).
pub(crate) fn is_metaservice(request: &RestRequest) -> bool {
    request.verb() == Verb::Get && [LIST_METHODS, ALLOWED_METHODS, GET_OPENAPI].contains(&request.service().code())
}

/// Answers a metaservice.
pub(crate) async fn answer(
    core: &Core,
    offer: &Offer,
    snapshot: &Snapshot,
    request: &RestRequest,
) -> Result<Described, Fault> {
    let client = request.client();
    match request.service().code() {
        LIST_METHODS => Ok(list(offer, request.service(), |service| Some(endpoints(service, |_| true)))),
        ALLOWED_METHODS => Ok(list(offer, request.service(), |service| {
            let may = |endpoint: &Endpoint| may_use_endpoint(offer, snapshot, client, service, endpoint);
            may_use(offer, snapshot, client, service).then(|| endpoints(service, may))
        })),
        _ => get_openapi(core, offer, request).await,
    }
}

fn list(offer: &Offer, asked: &ServiceId, endpoints: impl Fn(&Service) -> Option<Vec<Json>>) -> Described {
    let found = services(offer, asked.client(), |service| service.kind != ServiceKind::Soap);
    let listed: Vec<Json> = found.filter_map(|service| Some(entry(service, endpoints(service)?))).collect();
    let body = json!({ "service": listed }).to_string();
    Described { content_type: "application/json", body: Bytes::from(body) }
}

fn entry(service: &Service, endpoints: Vec<Json>) -> Json {
    let (client, member) = (service.id.client(), service.id.client().member());
    let kind = if service.kind == ServiceKind::OpenApi { "OPENAPI" } else { "REST" };
    json!({
        "member_class": member.class(),
        "member_code": member.code(),
        "object_type": "SERVICE",
        "service_code": service.id.code(),
        "service_type": kind,
        "subsystem_code": client.subsystem(),
        "xroad_instance": member.instance(),
        "endpoint_list": Json::Array(endpoints),
    })
}

/// The endpoints of a service, but not the one that is the whole service.
fn endpoints(service: &Service, wanted: impl Fn(&Endpoint) -> bool) -> Vec<Json> {
    let listed = service.endpoints.iter().map(|numbered| &numbered.endpoint);
    let listed = listed.filter(|endpoint| !endpoint.is_whole_service() && wanted(endpoint));
    listed.map(|endpoint| json!({ "method": endpoint.method(), "path": endpoint.path })).collect()
}

async fn get_openapi(core: &Core, offer: &Offer, request: &RestRequest) -> Result<Described, Fault> {
    let refused = |reason, message: String| Err(Fault::new(Side::ServerProxy, reason, message));
    let Some(code) = parameter(request, "serviceCode") else {
        return refused(Reason::InvalidRequest, "the parameter serviceCode is missing. Name the service".to_owned());
    };
    let wanted = request.service().client().service(&code).map_err(fault(
        Side::ServerProxy,
        Reason::InvalidRequest,
        "Correct serviceCode",
    ))?;
    let found = services(offer, wanted.client(), |service| service.id == wanted).next();
    let Some(service) = found else {
        return refused(Reason::UnknownService, format!("{wanted} does not exist. Ask listMethods what there is"));
    };
    if service.kind != ServiceKind::OpenApi {
        let message = format!("{wanted} has no OpenAPI description. Its owner knows more");
        return refused(Reason::InvalidServiceType, message);
    }
    let text = match &service.description {
        Some(text) => text.to_string(),
        None => fetched(core, offer, service).await?,
    };
    let anonymous = openapi::anonymised(&text).map_err(fault(
        Side::ServerProxy,
        Reason::InternalError,
        "The owner of the service is to correct its description",
    ))?;
    let content_type = if anonymous.is_json { "application/json" } else { "application/yaml" };
    Ok(Described { content_type, body: Bytes::from(anonymous.text) })
}

/// The description at its own address, where the registry does not hold its text.
async fn fetched(core: &Core, offer: &Offer, service: &Service) -> Result<String, Fault> {
    let unreadable = |reason: &str| {
        // Where the description lies is no matter of the caller.
        tracing::warn!(service = %service.id, reason, "the description of a service cannot be read");
        let message = format!("the description of {} cannot be read now. Tell its owner", service.id);
        Fault::new(Side::ServerProxy, Reason::InternalError, message)
    };
    let description = offer.descriptions.get(&service.description_number);
    let url = description.map(|description| description.url.as_str()).ok_or_else(|| unreadable("it has no address"))?;
    let fetched = core.outbound.get(url, service.timeout, DESCRIPTION_BYTES_MAX).await;
    let (_, bytes) = fetched.map_err(|error| unreadable(&error.to_string()))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| unreadable("it is not UTF-8"))
}

/// A parameter of the query, the last one where it is repeated; its name in any case (CODE).
fn parameter(request: &RestRequest, name: &str) -> Option<String> {
    let pairs = request.query()?.split('&').take(64).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.filter(|(given, _)| given.eq_ignore_ascii_case(name)).last()?;
    let value = value.replace('+', " ");
    let value = percent_decode_str(&value).decode_utf8().ok()?.into_owned();
    Some(value).filter(|value| !value.is_empty())
}
