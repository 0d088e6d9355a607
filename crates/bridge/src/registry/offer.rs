use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use civic::{ClientId, ServiceId};

use super::model::{ClientSettings, Description, GlobalGroupId, LocalGroup, Right, Service, Subject};
use crate::access::{Endpoint, ServicePath};
use crate::globalconf::Snapshot;
use crate::message::Verb;

/// What the node offers and to whom, at one moment: immutable and indexed. Exchanges ask it and no database.
#[derive(Debug, Default)]
pub struct Offer {
    /// Which state of the registry it is.
    pub version: i64,
    /// The subsystems that the node serves.
    pub clients: HashMap<ClientId, ClientSettings>,
    /// The TLS certificates (DER) of the clients, in use or not.
    pub certificates: HashMap<ClientId, Vec<Vec<u8>>>,
    /// The descriptions, by number.
    pub descriptions: BTreeMap<i64, Description>,
    /// Local groups, by number.
    pub groups: BTreeMap<i64, Arc<LocalGroup>>,
    services: HashMap<ServiceId, Vec<Arc<Service>>>,
    by_number: BTreeMap<i64, Arc<Service>>,
    rights: HashMap<ServiceId, ServiceRights>,
}

/// The rights to one service, by the kind of who has them.
#[derive(Debug, Default)]
struct ServiceRights {
    all: Vec<Right>,
    clients: HashMap<ClientId, Vec<Option<Endpoint>>>,
    local: Vec<(Arc<LocalGroup>, Option<Endpoint>)>,
    global: Vec<(GlobalGroupId, Option<Endpoint>)>,
}

/// The rows of a registry, before they are indexed.
pub(super) struct Rows {
    pub(super) version: i64,
    pub(super) clients: Vec<ClientSettings>,
    pub(super) certificates: HashMap<ClientId, Vec<Vec<u8>>>,
    pub(super) descriptions: Vec<Description>,
    pub(super) services: Vec<Service>,
    pub(super) rights: Vec<Right>,
    pub(super) groups: Vec<LocalGroup>,
}

impl Offer {
    pub(super) fn of(rows: Rows) -> Self {
        let groups: BTreeMap<i64, Arc<LocalGroup>> =
            rows.groups.into_iter().map(|group| (group.number, Arc::new(group))).collect();
        let mut rights: HashMap<ServiceId, ServiceRights> = HashMap::new();
        for right in rows.rights {
            let of_service = rights.entry(right.service.clone()).or_default();
            let endpoint = right.endpoint.clone();
            match &right.subject {
                Subject::Client(client) => of_service.clients.entry(client.clone()).or_default().push(endpoint),
                Subject::GlobalGroup(group) => of_service.global.push((group.clone(), endpoint)),
                Subject::LocalGroup(number) => {
                    // A local group serves the rights of its own client only.
                    if let Some(group) = groups.get(number).filter(|group| &group.client == right.service.client()) {
                        of_service.local.push((Arc::clone(group), endpoint));
                    }
                }
            }
            of_service.all.push(right);
        }
        let mut services: HashMap<ServiceId, Vec<Arc<Service>>> = HashMap::new();
        let mut by_number = BTreeMap::new();
        for service in rows.services {
            let service = Arc::new(service);
            by_number.insert(service.number, Arc::clone(&service));
            services.entry(service.id.clone()).or_default().push(service);
        }
        Self {
            version: rows.version,
            clients: rows.clients.into_iter().map(|client| (client.id.clone(), client)).collect(),
            certificates: rows.certificates,
            descriptions: rows.descriptions.into_iter().map(|one| (one.number, one)).collect(),
            groups,
            services,
            by_number,
            rights,
        }
    }

    /// The client, where the node serves it and it is not switched off.
    pub fn open_client(&self, id: &ClientId) -> Option<&ClientSettings> {
        self.clients.get(id).filter(|client| client.is_open())
    }

    /// A service with this version (SOAP), or the one without a version.
    pub fn service(&self, id: &ServiceId, version: Option<&str>) -> Option<&Arc<Service>> {
        self.versions(id).iter().find(|service| service.version.as_deref() == version)
    }

    /// All versions of a service.
    pub fn versions(&self, id: &ServiceId) -> &[Arc<Service>] {
        self.services.get(id).map_or(&[], Vec::as_slice)
    }

    /// All services, in the order of their numbers.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_number.values()
    }

    /// The services of one client.
    pub fn services_of<'o>(&'o self, client: &'o ClientId) -> impl Iterator<Item = &'o Arc<Service>> {
        self.services().filter(move |service| service.id.client() == client)
    }

    /// The local group of a client with this code.
    pub fn group(&self, client: &ClientId, code: &str) -> Option<&Arc<LocalGroup>> {
        self.groups.values().find(|group| &group.client == client && group.code == code)
    }

    /// All rights to a service and its endpoints.
    pub fn rights_to(&self, service: &ServiceId) -> &[Right] {
        self.rights.get(service).map_or(&[], |rights| &rights.all)
    }

    /// All rights to the services of a client.
    pub fn rights_of<'o>(&'o self, owner: &'o ClientId) -> impl Iterator<Item = &'o Right> {
        self.rights.iter().filter(move |(service, _)| service.client() == owner).flat_map(|(_, rights)| &rights.all)
    }

    /// Whether the client may use the service: for this request, or (`None`) for any at all.
    pub(crate) fn is_allowed(
        &self,
        snapshot: &Snapshot,
        client: &ClientId,
        service: &ServiceId,
        request: Option<(Verb, &ServicePath)>,
    ) -> bool {
        let in_group = |group: &GlobalGroupId, client: &ClientId| snapshot.is_in_group(group, client);
        self.allows(in_group, client, service, request)
    }

    /// The same; `in_group` says who is in a global group.
    pub fn allows(
        &self,
        in_group: impl Fn(&GlobalGroupId, &ClientId) -> bool,
        client: &ClientId,
        service: &ServiceId,
        request: Option<(Verb, &ServicePath)>,
    ) -> bool {
        let Some(rights) = self.rights.get(service) else { return false };
        let covers = |endpoint: &Option<Endpoint>| covers(endpoint.as_ref(), request);
        rights.clients.get(client).is_some_and(|own| own.iter().any(covers))
            || rights.local.iter().any(|(group, endpoint)| covers(endpoint) && group.members.contains(client))
            || rights.global.iter().any(|(group, endpoint)| covers(endpoint) && in_group(group, client))
    }
}

fn covers(endpoint: Option<&Endpoint>, request: Option<(Verb, &ServicePath)>) -> bool {
    match (endpoint, request) {
        (None, _) | (_, None) => true,
        (Some(endpoint), Some((verb, path))) => endpoint.covers(verb, path),
    }
}
