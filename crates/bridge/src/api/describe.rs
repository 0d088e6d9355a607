//! What a service description brings: services, endpoints, addresses.

use std::time::Duration;

use civic::ClientId;
use serde::Deserialize;
use serde_json::Value as Json;

use super::call::{Call, Result};
use super::error::ApiError;
use super::{wsdl, yaml};
use crate::access::Endpoint;
use crate::message::Verb;
use crate::metaservices::RESERVED;
use crate::registry::{NewService, ServiceKind};

/// A description that somebody wants.
#[derive(Deserialize)]
pub(super) struct Wanted {
    pub(super) url: String,
    #[serde(rename = "type")]
    pub(super) kind: ServiceKind,
    #[serde(default)]
    pub(super) rest_service_code: Option<String>,
    #[serde(default)]
    pub(super) new_rest_service_code: Option<String>,
    /// The text itself, where it is not to be fetched from the address.
    #[serde(default)]
    pub(super) description: Option<String>,
}

/// What it brings.
pub(super) struct Described {
    pub(super) kind: ServiceKind,
    pub(super) text: Option<String>,
    pub(super) services: Vec<NewService>,
}

const FETCH_LIMIT: Duration = Duration::from_secs(20);
const BYTES_MAX: usize = 10 * 1024 * 1024;
const ENDPOINTS_MAX: usize = 5_000;

/// Reads the description, from its address where no text was sent.
pub(super) async fn read(call: &Call, client: &ClientId, wanted: &Wanted) -> Result<Described> {
    let kind = wanted.kind;
    if kind == ServiceKind::Rest {
        let service = service(client, wanted, wanted.url.clone(), None, Vec::new())?;
        return Ok(Described { kind, text: None, services: vec![service] });
    }
    let text = match &wanted.description {
        Some(text) => text.clone(),
        None => fetch(call, &wanted.url).await?,
    };
    let services = match kind {
        ServiceKind::OpenApi => vec![from_openapi(client, wanted, &text)?],
        _ => from_wsdl(client, &text)?,
    };
    Ok(Described { kind, text: Some(text), services })
}

async fn fetch(call: &Call, url: &str) -> Result<String> {
    let failed = |error: String| ApiError::bad(format!("the description cannot be read from its address: {error}"));
    let (_, bytes) =
        call.core.outbound.get(url, FETCH_LIMIT, BYTES_MAX).await.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| failed("it is not UTF-8".to_owned()))
}

fn from_openapi(client: &ClientId, wanted: &Wanted, text: &str) -> Result<NewService> {
    let failed = |reason: &str| ApiError::bad(format!("the description is no OpenAPI 3: {reason}"));
    let document = yaml::read(text).map_err(|reason| failed(&reason))?;
    let version = document.get("openapi").and_then(Json::as_str).unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(failed("`openapi` does not say 3.x"));
    }
    let paths = document.get("paths").and_then(Json::as_object).ok_or_else(|| failed("it has no paths"))?;
    let mut endpoints = Vec::new();
    for (path, operations) in paths {
        // `{name}` stands for one segment.
        let segments: Vec<&str> =
            path.split('/').map(|segment| if segment.contains('{') { "*" } else { segment }).collect();
        let methods = operations.as_object().into_iter().flatten().map(|(method, _)| method.to_ascii_uppercase());
        for verb in methods.filter_map(|method| method.parse::<Verb>().ok()) {
            let endpoint = Endpoint { verb: Some(verb), path: segments.join("/") };
            endpoint.check().map_err(|reason| failed(&reason))?;
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        if endpoints.len() > ENDPOINTS_MAX {
            return Err(failed("it has too many endpoints"));
        }
    }
    let server = document.pointer("/servers/0/url").and_then(Json::as_str).unwrap_or_default();
    let base =
        if server.starts_with("http://") || server.starts_with("https://") { server } else { wanted.url.as_str() };
    let title = document.pointer("/info/title").and_then(Json::as_str).map(|title| title.chars().take(255).collect());
    service(client, wanted, base.to_owned(), title, endpoints)
}

fn from_wsdl(client: &ClientId, text: &str) -> Result<Vec<NewService>> {
    let operations =
        wsdl::operations(text).map_err(|reason| ApiError::bad(format!("the WSDL cannot be used: {reason}")))?;
    let service = |operation: wsdl::Operation| {
        let bad = |error: civic::IdError| ApiError::bad(format!("the WSDL cannot be used: {error}"));
        if let Some(version) = &operation.version {
            client.service(version).map_err(bad)?;
        }
        Ok(NewService {
            id: client.service(&operation.name).map_err(bad)?,
            version: operation.version,
            title: operation.title,
            url: operation.address,
            endpoints: Vec::new(),
        })
    };
    operations.into_iter().map(service).collect()
}

fn service(
    client: &ClientId,
    wanted: &Wanted,
    url: String,
    title: Option<String>,
    endpoints: Vec<Endpoint>,
) -> Result<NewService> {
    let code = wanted.rest_service_code.as_deref().unwrap_or_default();
    if RESERVED.contains(&code) {
        return Err(ApiError::bad(format!("`{code}` is the name of a service that every node answers itself")));
    }
    let id = client.service(code).map_err(|error| ApiError::bad(format!("rest_service_code: {error}")))?;
    Ok(NewService { id, version: None, title, url, endpoints })
}
