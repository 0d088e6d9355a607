//! Metaservices: what there is in the federation and at this node (PR-META, PR-MREST; facts §1.3).
//!
//! `GET /listClients` is local and unsigned. The others are asked like any service, signed and logged on both sides; every client of the
//! federation may ask them, for they tell names, not data. Their codes are reserved: they are no services, and no list names them.
//! What is common to REST and SOAP stands here: which services there are, and which of them a client may use.

pub(crate) mod clients;
mod openapi;
pub(crate) mod rest;

use std::sync::Arc;

use civic::ClientId;

use crate::access::{Endpoint, ServicePath};
use crate::globalconf::Snapshot;
use crate::message::Verb;
use crate::registry::{Offer, Service};

/// `listMethods`: the services of a client, in REST or SOAP.
pub const LIST_METHODS: &str = "listMethods";
/// `allowedMethods`: those of them that the caller may use.
pub const ALLOWED_METHODS: &str = "allowedMethods";
/// `getOpenAPI`: the description of a REST service.
pub const GET_OPENAPI: &str = "getOpenAPI";
/// `getWsdl`: the description of a SOAP service.
pub const GET_WSDL: &str = "getWsdl";

/// Codes that every node answers itself; no service may have one (X-Road 7.7).
pub const RESERVED: [&str; 8] = [
    LIST_METHODS,
    ALLOWED_METHODS,
    GET_OPENAPI,
    GET_WSDL,
    "getSecurityServerOperationalData",
    "getSecurityServerHealthData",
    "getSecurityServerMetrics",
    crate::DATA_TRACKER,
];

const VERBS: [Verb; 8] =
    [Verb::Delete, Verb::Get, Verb::Head, Verb::Options, Verb::Patch, Verb::Post, Verb::Put, Verb::Trace];

/// The services of a client that are wanted, without those whose code is reserved.
pub(crate) fn services<'o>(
    offer: &'o Offer,
    provider: &'o ClientId,
    wanted: impl Fn(&Service) -> bool + 'o,
) -> impl Iterator<Item = &'o Arc<Service>> {
    offer.services_of(provider).filter(move |service| wanted(service) && !RESERVED.contains(&service.id.code()))
}

/// Whether a client may use the service, or any endpoint of it.
pub(crate) fn may_use(offer: &Offer, snapshot: &Snapshot, client: &ClientId, service: &Service) -> bool {
    offer.is_allowed(snapshot, client, &service.id, None)
}

/// Whether a client may use an endpoint, whatever request to it is meant: one for all methods needs the right to all.
fn may_use_endpoint(
    offer: &Offer,
    snapshot: &Snapshot,
    client: &ClientId,
    service: &Service,
    endpoint: &Endpoint,
) -> bool {
    // A pattern is a path whose stars stand for themselves: only the same or a wider pattern fits it.
    let Ok(path) = ServicePath::parse(&endpoint.path) else { return false };
    let may = |verb| offer.is_allowed(snapshot, client, &service.id, Some((verb, &path)));
    endpoint.verb.map_or_else(|| VERBS.into_iter().all(may), may)
}
