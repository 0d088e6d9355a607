//! Who may use what, from both directions: the clients of a service or endpoint, and the services of a client.

use std::collections::BTreeMap;

use civic::{ClientId, ServiceId, Timestamp};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::call::{Call, Reply, Result, client_id, parse_client, shorten};
use super::error::ApiError;
use super::services::find_endpoint;
use crate::access::Endpoint;
use crate::registry::{Change, GlobalGroupId, Offer, Right, Subject};

#[derive(Deserialize)]
struct ServiceClients {
    items: Vec<ServiceClient>,
}

#[derive(Deserialize)]
struct ServiceClient {
    id: String,
    #[serde(default)]
    service_client_type: Option<String>,
}

#[derive(Deserialize)]
struct AccessRights {
    items: Vec<AccessRight>,
}

#[derive(Deserialize)]
struct AccessRight {
    service_code: String,
}

pub(super) async fn of_service(call: Call) -> Result {
    let offer = call.offer();
    let service = call.service(&offer)?;
    let rights = offer.rights_to(&service.id).iter().filter(|right| right.endpoint.is_none());
    Ok(Reply::json(json!(rights.map(|right| shown(&call, &offer, right)).collect::<Vec<_>>())))
}

pub(super) async fn add_to_service(call: Call) -> Result {
    let service = call.service(&call.offer())?.id.clone();
    give(&call, &service, None).await
}

pub(super) async fn delete_from_service(call: Call) -> Result {
    let service = call.service(&call.offer())?.id.clone();
    take(&call, &service, None).await
}

pub(super) async fn of_endpoint(call: Call) -> Result {
    let offer = call.offer();
    let (service, endpoint) = find_endpoint(&offer, call.number("id")?)?;
    let rights =
        offer.rights_to(&service.id).iter().filter(|right| right.endpoint.as_ref() == Some(&endpoint.endpoint));
    Ok(Reply::json(json!(rights.map(|right| shown(&call, &offer, right)).collect::<Vec<_>>())))
}

pub(super) async fn add_to_endpoint(call: Call) -> Result {
    let (service, endpoint) = find_endpoint(&call.offer(), call.number("id")?)?;
    give(&call, &service.id, Some(endpoint.endpoint)).await
}

pub(super) async fn delete_from_endpoint(call: Call) -> Result {
    let (service, endpoint) = find_endpoint(&call.offer(), call.number("id")?)?;
    take(&call, &service.id, Some(endpoint.endpoint)).await
}

async fn give(call: &Call, service: &ServiceId, endpoint: Option<Endpoint>) -> Result {
    let subjects = subjects_of(call)?;
    for subject in &subjects {
        check_exists(call, subject)?;
    }
    let change = |subject: &Subject| Change::GiveRight {
        subject: subject.clone(),
        service: service.clone(),
        endpoint: endpoint.clone(),
    };
    call.change_all(subjects.iter().map(change).collect()).await?;
    let offer = call.offer();
    let given =
        offer.rights_to(service).iter().filter(|right| right.endpoint == endpoint && subjects.contains(&right.subject));
    Ok(Reply::created(json!(given.map(|right| shown(call, &offer, right)).collect::<Vec<_>>())))
}

async fn take(call: &Call, service: &ServiceId, endpoint: Option<Endpoint>) -> Result {
    let change = |subject: Subject| Change::TakeRight { subject, service: service.clone(), endpoint: endpoint.clone() };
    call.change_all(subjects_of(call)?.into_iter().map(change).collect()).await?;
    Ok(Reply::done())
}

/// Everybody who has a right to anything of the client.
pub(super) async fn of_client(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let shown: Vec<Json> = service_clients(&offer, &client)
        .into_iter()
        .map(|(subject, since)| shown_subject(&call, &offer, subject, Some(since)))
        .collect();
    Ok(Reply::json(json!(shown)))
}

pub(super) async fn service_client(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let wanted = subject_of(call.param("sc_id"), None)?;
    let since = service_clients(&offer, &client).get(&wanted).copied();
    let missing = || ApiError::not_found("service_client_not_found", "it has no right to a service of this client");
    Ok(Reply::json(shown_subject(&call, &offer, &wanted, Some(since.ok_or_else(missing)?))))
}

pub(super) async fn of_service_client(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let wanted = subject_of(call.param("sc_id"), None)?;
    Ok(Reply::json(json!(rights_of(&offer, &client, &wanted))))
}

pub(super) async fn add_to_service_client(call: Call) -> Result {
    let (client, subject, services) = of_body(&call)?;
    check_exists(&call, &subject)?;
    let change = |service: ServiceId| Change::GiveRight { subject: subject.clone(), service, endpoint: None };
    call.change_all(services.iter().cloned().map(change).collect()).await?;
    let codes: Vec<&str> = services.iter().map(ServiceId::code).collect();
    let mut given = rights_of(&call.offer(), &client, &subject);
    given.retain(|right| right.get("service_code").and_then(Json::as_str).is_some_and(|code| codes.contains(&code)));
    Ok(Reply::created(json!(given)))
}

pub(super) async fn delete_from_service_client(call: Call) -> Result {
    let (_, subject, services) = of_body(&call)?;
    let offer = call.offer();
    let mut changes = Vec::new();
    for service in services {
        // As in X-Road: the rights to endpoints of the service go too.
        let held = offer.rights_to(&service).iter().filter(|right| right.subject == subject);
        let before = changes.len();
        changes.extend(held.map(|right| Change::TakeRight {
            subject: subject.clone(),
            service: service.clone(),
            endpoint: right.endpoint.clone(),
        }));
        if changes.len() == before {
            return Err(ApiError::conflict(
                "accessright_not_found",
                format!("there is no right to {}", service.code()),
            ));
        }
    }
    call.change_all(changes).await?;
    Ok(Reply::done())
}

fn of_body(call: &Call) -> Result<(ClientId, Subject, Vec<ServiceId>)> {
    let client = call.client(&call.offer())?;
    let subject = subject_of(call.param("sc_id"), None)?;
    let AccessRights { items } = call.json()?;
    if items.is_empty() {
        return Err(ApiError::bad("name at least one service"));
    }
    let service =
        |item: &AccessRight| client.service(&item.service_code).map_err(|error| ApiError::bad(error.to_string()));
    let services = items.iter().map(service).collect::<Result<_>>()?;
    Ok((client, subject, services))
}

/// Clients, global groups and local groups that a right could be given to.
pub(super) async fn candidates(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let snapshot = call.snapshot()?;
    let mut found: Vec<Subject> = offer
        .groups
        .values()
        .filter(|group| group.client == client)
        .map(|group| Subject::LocalGroup(group.number))
        .collect();
    if let Some(own) = snapshot.own() {
        let shared = own.shared();
        let group = |code: &String| {
            Subject::GlobalGroup(GlobalGroupId { instance: shared.instance.clone(), code: code.clone() })
        };
        found.extend(shared.groups.iter().map(|known| group(&known.code)));
        for member in &shared.members {
            let subsystems = member.subsystems.iter().filter_map(|one| member.id.subsystem(&one.code).ok());
            found.extend(subsystems.map(Subject::Client));
        }
    }
    let mut shown: Vec<Json> = found.iter().map(|subject| shown_subject(&call, &offer, subject, None)).collect();
    let text = |one: &Json, field: &str| one.get(field).and_then(Json::as_str).unwrap_or_default().to_lowercase();
    if let Some(kind) = call.query("service_client_type") {
        shown.retain(|one| text(one, "service_client_type") == kind.to_lowercase());
    }
    for name in ["member_name_group_description", "instance", "member_class", "member_group_code", "subsystem_code"] {
        if let Some(wanted) = call.query(name).map(str::to_lowercase) {
            let field = if name == "member_name_group_description" { "name" } else { "id" };
            shown.retain(|one| text(one, field).contains(&wanted) || text(one, "local_group_code").contains(&wanted));
        }
    }
    Ok(Reply::json(json!(shown)))
}

fn service_clients<'o>(offer: &'o Offer, client: &'o ClientId) -> BTreeMap<&'o Subject, Timestamp> {
    let mut found: BTreeMap<&Subject, Timestamp> = BTreeMap::new();
    for right in offer.rights_of(client) {
        let since = found.entry(&right.subject).or_insert(right.given);
        *since = (*since).min(right.given);
    }
    found
}

fn rights_of(offer: &Offer, client: &ClientId, subject: &Subject) -> Vec<Json> {
    let mut rights: Vec<&Right> = offer.rights_of(client).filter(|right| &right.subject == subject).collect();
    rights.sort_by_key(|right| right.service.code().to_owned());
    rights.dedup_by_key(|right| &right.service);
    let title = |right: &Right| offer.versions(&right.service).first().and_then(|service| service.title.clone());
    let shown = |right: &&Right| {
        json!({
            "service_code": right.service.code(),
            "service_title": title(right).unwrap_or_default(),
            "rights_given_at": right.given.rfc3339(),
        })
    };
    rights.iter().map(shown).collect()
}

fn subjects_of(call: &Call) -> Result<Vec<Subject>> {
    let ServiceClients { items } = call.json()?;
    if items.is_empty() {
        return Err(ApiError::bad("name at least one service client"));
    }
    items.iter().map(|item| subject_of(&item.id, item.service_client_type.as_deref())).collect()
}

/// `INSTANCE:CLASS:CODE:SUBSYSTEM`, `INSTANCE:GROUP`, or the number of a local group.
fn subject_of(id: &str, kind: Option<&str>) -> Result<Subject> {
    let unknown = || ApiError::bad(format!("`{}` is no service client", shorten(id)));
    let subject = match id.split(':').count() {
        1 => Subject::LocalGroup(id.parse().map_err(|_| unknown())?),
        2 => {
            let (instance, code) = id.split_once(':').unwrap_or_default();
            Subject::GlobalGroup(format!("{instance}/{code}").parse().map_err(|_| unknown())?)
        }
        _ => Subject::Client(parse_client(id)?),
    };
    let found = kind_of(&subject);
    if kind.is_some_and(|kind| kind != found) { Err(unknown()) } else { Ok(subject) }
}

const fn kind_of(subject: &Subject) -> &'static str {
    match subject {
        Subject::Client(_) => "SUBSYSTEM",
        Subject::LocalGroup(_) => "LOCALGROUP",
        Subject::GlobalGroup(_) => "GLOBALGROUP",
    }
}

fn check_exists(call: &Call, subject: &Subject) -> Result<()> {
    let snapshot = call.snapshot()?;
    let exists = match subject {
        Subject::Client(client) => client.subsystem().is_some() && snapshot.knows_client(client),
        Subject::GlobalGroup(group) => snapshot.knows_group(group),
        Subject::LocalGroup(number) => call.offer().groups.contains_key(number),
    };
    if exists {
        return Ok(());
    }
    Err(ApiError::conflict("service_client_not_found", "the federation has no such subsystem or group"))
}

fn shown(call: &Call, offer: &Offer, right: &Right) -> Json {
    shown_subject(call, offer, &right.subject, Some(right.given))
}

fn shown_subject(call: &Call, offer: &Offer, subject: &Subject, since: Option<Timestamp>) -> Json {
    let snapshot = call.core.conf.current();
    let (id, name, code) = match subject {
        Subject::Client(client) => {
            let name = snapshot.map(|known| known.member_name(client.member()));
            (client_id(client), name.unwrap_or_else(|| client.member().code().to_owned()), None)
        }
        Subject::GlobalGroup(group) => (format!("{}:{}", group.instance, group.code), group.code.clone(), None),
        Subject::LocalGroup(number) => {
            let group = offer.groups.get(number);
            let name = group.map(|group| group.description.clone()).unwrap_or_default();
            (number.to_string(), name, group.map(|group| group.code.clone()))
        }
    };
    let mut shown = json!({ "id": id, "name": name, "service_client_type": kind_of(subject) });
    if let Some(fields) = shown.as_object_mut() {
        if let Some(code) = code {
            fields.insert("local_group_code".to_owned(), json!(code));
        }
        if let Some(since) = since {
            fields.insert("rights_given_at".to_owned(), json!(since.rfc3339()));
        }
    }
    shown
}
