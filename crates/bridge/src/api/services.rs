use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::call::{Call, Reply, Result, client_id, full_code, service_id, shorten};
use super::describe::{self, Described, Wanted};
use super::error::ApiError;
use crate::access::Endpoint;
use crate::config::{ServiceBasis, SubjectRule};
use crate::registry::{Change, Description, NumberedEndpoint, Offer, Service, ServiceKind, ServicePatch};

#[derive(Deserialize, Default)]
struct Notice {
    #[serde(default)]
    disabled_notice: Option<String>,
}

#[derive(Deserialize)]
struct ServiceUpdate {
    url: String,
    timeout: u64,
    ssl_auth: bool,
    #[serde(default)]
    url_all: bool,
    #[serde(default)]
    timeout_all: bool,
    #[serde(default)]
    ssl_auth_all: bool,
    #[serde(default)]
    basis: Option<ServiceBasis>,
    #[serde(default)]
    subject: Option<SubjectRule>,
    #[serde(default)]
    fields: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct EndpointBody {
    method: String,
    path: String,
}

pub(super) async fn list(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let of_client = offer.descriptions.values().filter(|one| one.client == client);
    Ok(Reply::json(json!(of_client.map(|one| shown(&offer, one)).collect::<Vec<_>>())))
}

pub(super) async fn add(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let wanted: Wanted = call.json()?;
    let Described { kind, text, services } = describe::read(&call, &client, &wanted).await?;
    let change = Change::AddDescription { client, description_kind: kind, url: wanted.url, text, services };
    let number = call.change(change).await?.unwrap_or_default();
    Ok(Reply::created(description(&call.offer(), number)?))
}

pub(super) async fn get_description(call: Call) -> Result {
    Ok(Reply::json(description(&call.offer(), call.number("id")?)?))
}

pub(super) async fn update_description(call: Call) -> Result {
    let number = call.number("id")?;
    let offer = call.offer();
    let known = known(&offer, number)?;
    let mut wanted: Wanted = call.json()?;
    if wanted.kind != known.kind {
        return Err(ApiError::bad("the type of a service description does not change: make a new one"));
    }
    wanted.rest_service_code = wanted.new_rest_service_code.take().or_else(|| {
        let first = offer.services().find(|service| service.description_number == number);
        wanted.rest_service_code.take().or_else(|| first.map(|service| service.id.code().to_owned()))
    });
    replace(&call, known, wanted).await
}

pub(super) async fn refresh(call: Call) -> Result {
    let number = call.number("id")?;
    let offer = call.offer();
    let known = known(&offer, number)?;
    let first = offer.services().find(|service| service.description_number == number);
    let wanted = Wanted {
        url: known.url.clone(),
        kind: known.kind,
        rest_service_code: first.map(|service| service.id.code().to_owned()),
        new_rest_service_code: None,
        description: None,
    };
    replace(&call, known, wanted).await
}

async fn replace(call: &Call, known: &Description, wanted: Wanted) -> Result {
    let Described { text, services, .. } = describe::read(call, &known.client, &wanted).await?;
    let number = known.number;
    call.change(Change::ReplaceDescription { number, url: wanted.url, text, services }).await?;
    Ok(Reply::json(description(&call.offer(), number)?))
}

pub(super) async fn delete_description(call: Call) -> Result {
    call.change(Change::RemoveDescription { number: call.number("id")? }).await?;
    Ok(Reply::done())
}

pub(super) async fn enable(call: Call) -> Result {
    let number = call.number("id")?;
    call.change(Change::EnableDescription { number, enabled: true, notice: None }).await?;
    Ok(Reply::done())
}

pub(super) async fn disable(call: Call) -> Result {
    let number = call.number("id")?;
    let Notice { disabled_notice } = call.optional_json()?;
    call.change(Change::EnableDescription { number, enabled: false, notice: disabled_notice }).await?;
    Ok(Reply::done())
}

pub(super) async fn of_description(call: Call) -> Result {
    let offer = call.offer();
    let number = known(&offer, call.number("id")?)?.number;
    Ok(Reply::json(json!(services_of(&offer, number))))
}

pub(super) async fn get(call: Call) -> Result {
    let offer = call.offer();
    let service = call.service(&offer)?;
    Ok(Reply::json(shown_service(&offer, &service)))
}

pub(super) async fn update(call: Call) -> Result {
    let offer = call.offer();
    let service = call.service(&offer)?;
    let wanted: ServiceUpdate = call.json()?;
    let patch = ServicePatch {
        url: Some(wanted.url),
        timeout: Some(Duration::from_secs(wanted.timeout.min(1_000_000))),
        tls_verify: Some(wanted.ssl_auth),
        basis: wanted.basis,
        subject: wanted.subject,
        fields: wanted.fields,
    };
    let change = Change::SetService {
        number: service.number,
        patch,
        url_all: wanted.url_all,
        timeout_all: wanted.timeout_all,
        tls_verify_all: wanted.ssl_auth_all,
    };
    call.change(change).await?;
    let offer = call.offer();
    let service = call.service(&offer)?;
    Ok(Reply::json(shown_service(&offer, &service)))
}

pub(super) async fn add_endpoint(call: Call) -> Result {
    let service = call.service(&call.offer())?;
    if service.kind == ServiceKind::Soap {
        return Err(ApiError::bad("SOAP services have no endpoints of their own"));
    }
    let endpoint = endpoint_of(&call)?;
    let change = Change::AddEndpoint { service: service.id.clone(), endpoint };
    let number = call.change(change).await?.unwrap_or_default();
    let (service, endpoint) = find_endpoint(&call.offer(), number)?;
    Ok(Reply::created(shown_endpoint(&service, &endpoint)))
}

pub(super) async fn get_endpoint(call: Call) -> Result {
    let (service, endpoint) = find_endpoint(&call.offer(), call.number("id")?)?;
    Ok(Reply::json(shown_endpoint(&service, &endpoint)))
}

pub(super) async fn update_endpoint(call: Call) -> Result {
    let number = call.number("id")?;
    find_endpoint(&call.offer(), number)?;
    let endpoint = endpoint_of(&call)?;
    call.change(Change::SetEndpoint { number, endpoint }).await?;
    let (service, endpoint) = find_endpoint(&call.offer(), number)?;
    Ok(Reply::json(shown_endpoint(&service, &endpoint)))
}

pub(super) async fn delete_endpoint(call: Call) -> Result {
    let number = call.number("id")?;
    let (_, endpoint) = find_endpoint(&call.offer(), number)?;
    if endpoint.generated {
        return Err(ApiError::bad("the endpoint comes from the service description: change it there"));
    }
    call.change(Change::RemoveEndpoint { number }).await?;
    Ok(Reply::done())
}

fn endpoint_of(call: &Call) -> Result<Endpoint> {
    let EndpointBody { method, path } = call.json()?;
    let verb = match method.as_str() {
        "*" => None,
        method => Some(method.parse().map_err(|_| ApiError::bad(format!("`{}` is no method", shorten(method))))?),
    };
    Ok(Endpoint { verb, path })
}

/// An endpoint with its service.
pub(super) fn find_endpoint(offer: &Offer, number: i64) -> Result<(Arc<Service>, NumberedEndpoint)> {
    let of = |service: &Arc<Service>| {
        let found = service.endpoints.iter().find(|endpoint| endpoint.number == number)?;
        Some((Arc::clone(service), found.clone()))
    };
    let missing = || ApiError::not_found("endpoint_not_found", format!("there is no endpoint {number}"));
    offer.services().find_map(of).ok_or_else(missing)
}

fn known(offer: &Offer, number: i64) -> Result<&Description> {
    let missing =
        || ApiError::not_found("service_description_not_found", format!("there is no service description {number}"));
    offer.descriptions.get(&number).ok_or_else(missing)
}

fn description(offer: &Offer, number: i64) -> Result<Json> {
    Ok(shown(offer, known(offer, number)?))
}

fn shown(offer: &Offer, one: &Description) -> Json {
    json!({
        "id": one.number.to_string(),
        "url": one.url,
        "type": one.kind,
        "disabled": !one.enabled,
        "disabled_notice": one.disabled_notice.as_deref().unwrap_or_default(),
        "refreshed_at": one.refreshed.rfc3339(),
        "services": services_of(offer, one.number),
        "client_id": client_id(&one.client),
        "declared": one.declared,
    })
}

fn services_of(offer: &Offer, description: i64) -> Vec<Json> {
    let of_it = offer.services().filter(|service| service.description_number == description);
    of_it.map(|service| shown_service(offer, service)).collect()
}

fn shown_service(offer: &Offer, service: &Service) -> Json {
    let mut subjects: Vec<_> = offer.rights_to(&service.id).iter().map(|right| &right.subject).collect();
    subjects.sort();
    subjects.dedup();
    let endpoints: Vec<Json> = service.endpoints.iter().map(|endpoint| shown_endpoint(service, endpoint)).collect();
    json!({
        "id": service_id(service),
        "full_service_code": full_code(service),
        "service_code": service.id.code(),
        "timeout": service.timeout.as_secs(),
        "title": service.title.as_deref().unwrap_or_default(),
        "ssl_auth": service.tls_verify,
        "subjects_count": subjects.len(),
        "url": service.base_url,
        "endpoints": endpoints,
        "basis": service.basis,
        "subject": service.subject,
        "fields": service.fields,
    })
}

pub(super) fn shown_endpoint(service: &Service, endpoint: &NumberedEndpoint) -> Json {
    json!({
        "id": endpoint.number.to_string(),
        "service_code": service.id.code(),
        "method": endpoint.endpoint.method(),
        "path": endpoint.endpoint.path,
        "generated": endpoint.generated,
    })
}
