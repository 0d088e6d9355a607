//! The API of operators: `/api/v1/…`. Identifiers stand in paths with colons (`BB:GOV:1002`), as at X-Road's central
//! server. Every operation but the description of the API needs `Authorization: X-Road-ApiKey token=…`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use civic::{ClientId, MemberId, ServerId};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use ledger::outbox::OutboxError;
use serde::Deserialize;
use serde_json::{Value, json};
use trust::cert::CertificateRequest;
use trust::digest::sha256;
use trust::mserv::Command;
use trust::note::NoteError;
use trust::note::policy::Policy;
use web::Problem;

use super::{json, openapi, problem};
use crate::store::{self, List};
use crate::{
    ActsError, ApiKey, Approval, Authority, AuthorityError, Desk, KeyUse, Profile, Request, RequestState, Role,
};

type Shared = State<Authority>;
type Answer = Result<Response, Problem>;

pub(super) fn router() -> Router<Authority> {
    let at = |path: &str| format!("/api/v1{path}");
    Router::new()
        .route(&at("/openapi.json"), get(description))
        .route(&at("/status"), get(status))
        .route(&at("/requests"), get(requests).post(file))
        .route(&at("/requests/{id}"), get(request))
        .route(&at("/requests/{id}/approve"), post(approve))
        .route(&at("/requests/{id}/decline"), post(decline))
        .route(&at("/members"), get(members))
        .route(&at("/members/{id}"), put(put_member).delete(delete_member))
        .route(&at("/subsystems/{id}"), put(put_subsystem).delete(delete_subsystem))
        .route(&at("/servers"), get(servers))
        .route(&at("/servers/{id}"), delete(delete_server))
        .route(&at("/servers/{id}/categories"), put(put_categories))
        .route(&at("/groups"), get(groups))
        .route(&at("/groups/{code}"), codes(List::Groups))
        .route(&at("/groups/{code}/members/{id}"), put(join_group).delete(leave_group))
        .route(&at("/member-classes"), get(member_classes))
        .route(&at("/member-classes/{code}"), codes(List::Classes))
        .route(&at("/security-categories"), get(security_categories))
        .route(&at("/security-categories/{code}"), codes(List::Categories))
        .route(&at("/approved-authorities"), get(approvals).post(put_approval))
        .route(&at("/approved-authorities/{id}"), delete(delete_approval))
        .route(&at("/federation"), get(federation).post(federate))
        .route(&at("/federation/{instance}"), delete(end_federation))
        .route(&at("/logs"), get(logs).post(put_logs))
        .route(&at("/logs/{*origin}"), delete(delete_log))
        .route(&at("/certificates"), post(sign_request))
        .route(&at("/certificates/{serial}"), delete(revoke))
        .route(&at("/signing-keys"), get(signing_keys))
        .route(&at("/signing-keys/{number}/activate"), post(activate))
        .route(&at("/signing-keys/{number}"), delete(retire))
        .route(&at("/keys/{use}"), post(add_key))
        .route(&at("/api-keys"), get(api_keys).post(create_api_key))
        .route(&at("/api-keys/{id}"), delete(revoke_api_key))
        .route(&at("/audit"), get(audit))
        .route(&at("/audit/{id}/proof"), get(act_proof))
}

/// The desk of the key in the header, where the key has the role; every key may read ([`Role::Observer`]).
async fn enter(authority: &Authority, headers: &HeaderMap, role: Role) -> Result<Desk, Problem> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header.strip_prefix("X-Road-ApiKey ").map(str::trim).and_then(|rest| rest.strip_prefix("token="));
    let token = token.or_else(|| header.strip_prefix("Bearer ")).unwrap_or_default();
    let key = find_key(authority, token).await.map_err(problem)?;
    if role != Role::Observer && !key.roles.contains(&role) {
        return Err(problem(AuthorityError::Role(role.name())));
    }
    Ok(authority.desk(&format!("{} ({})", key.label, key.id)))
}

/// The database is asked by the digest, so that time tells nothing of a key.
async fn find_key(authority: &Authority, token: &str) -> Result<ApiKey, AuthorityError> {
    let id = token.split_once('.').map(|(id, _)| id.to_owned()).ok_or(AuthorityError::UnknownKey)?;
    let digest = hex::encode(sha256(token.as_bytes()));
    let key = authority.0.store.read("authority.api_key", move |tx| store::api_key(tx, &id, &digest)).await?;
    key.ok_or(AuthorityError::UnknownKey)
}

fn ok(value: Value) -> Answer {
    let body = serde_json::to_vec(&value).map_err(Problem::internal)?;
    Ok(([(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/json")], body).into_response())
}

fn done<T>(outcome: Result<T, AuthorityError>) -> Answer {
    outcome.map(|_| StatusCode::NO_CONTENT.into_response()).map_err(problem)
}

/// An identifier as it stands in a path.
fn id<T: std::str::FromStr<Err = civic::IdError>>(text: &str) -> Result<T, Problem> {
    text.replace(':', "/").parse().map_err(|error: civic::IdError| Problem::bad_request(error.to_string()))
}

fn colons(id: &impl ToString) -> String {
    id.to_string().replace('/', ":")
}

async fn description() -> Response {
    axum::Json(openapi::description()).into_response()
}

async fn status(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let status = desk.status().await.map_err(problem)?;
    ok(json!({
        "instance": status.instance, "configuration_expires": status.expires.rfc3339(), "members": status.members,
        "servers": status.servers, "pending_requests": status.pending,
    }))
}

#[derive(Deserialize)]
struct RequestQuery {
    state: Option<RequestState>,
    before: Option<i64>,
}

async fn requests(State(authority): Shared, headers: HeaderMap, Query(query): Query<RequestQuery>) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let requests = desk.requests(query.state, query.before).await.map_err(problem)?;
    ok(requests.iter().map(told).collect())
}

async fn request(State(authority): Shared, headers: HeaderMap, Path(number): Path<i64>) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    ok(told(&desk.request(number).await.map_err(problem)?))
}

/// What the authority itself asks for.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
enum Wish {
    AuthCertReg { server: ServerId, address: Option<String>, certificate_pem: String },
    ClientReg { server: ServerId, client: ClientId, subsystem_name: Option<String> },
    ClientDeletion { server: ServerId, client: ClientId },
    OwnerChange { server: ServerId, client: ClientId },
    AddressChange { server: ServerId, address: String },
    ClientDisable { server: ServerId, client: ClientId },
    ClientEnable { server: ServerId, client: ClientId },
    MaintenanceModeEnable { server: ServerId, message: Option<String> },
    MaintenanceModeDisable { server: ServerId },
}

async fn file(State(authority): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    let command = match json::<Wish>(&body)? {
        Wish::AuthCertReg { server, address, certificate_pem } => {
            let certificate = trust::cert::Certificate::from_pem(&certificate_pem);
            let certificate = certificate.map_err(|error| problem(error.into()))?;
            Command::AuthCertReg { server, address, auth_cert: certificate.der().to_vec(), dry_run: false }
        }
        Wish::ClientReg { server, client, subsystem_name } => Command::ClientReg { server, client, subsystem_name },
        Wish::ClientDeletion { server, client } => Command::ClientDeletion { server, client },
        Wish::OwnerChange { server, client } => Command::OwnerChange { server, client },
        Wish::AddressChange { server, address } => Command::AddressChange { server, address },
        Wish::ClientDisable { server, client } => Command::ClientDisable { server, client },
        Wish::ClientEnable { server, client } => Command::ClientEnable { server, client },
        Wish::MaintenanceModeEnable { server, message } => Command::MaintenanceModeEnable { server, message },
        Wish::MaintenanceModeDisable { server } => Command::MaintenanceModeDisable { server },
    };
    ok(told(&desk.file(&command).await.map_err(problem)?))
}

async fn approve(State(authority): Shared, headers: HeaderMap, Path(number): Path<i64>) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    ok(told(&desk.approve(number).await.map_err(problem)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decline {
    reason: String,
}

async fn decline(State(authority): Shared, headers: HeaderMap, Path(number): Path<i64>, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    let decline: Decline = json(&body)?;
    ok(told(&desk.decline(number, &decline.reason).await.map_err(problem)?))
}

fn told(request: &Request) -> Value {
    json!({
        "id": request.id, "kind": request.kind, "origin": request.origin, "state": request.state,
        "server": request.server, "client": request.client, "detail": request.detail,
        "certificate_sha256": request.certificate, "complements": request.complements,
        "created_at": request.created_at.rfc3339(), "created_by": request.created_by,
        "decided_at": request.decided_at.map(civic::Timestamp::rfc3339), "decided_by": request.decided_by,
        "reason": request.reason,
    })
}

async fn members(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let registry = desk.registry().await.map_err(problem)?;
    let members = registry.members.iter().map(|member| {
        let subsystems: Vec<Value> =
            member.subsystems.iter().map(|subsystem| json!({"code": subsystem.code, "name": subsystem.name})).collect();
        json!({"id": colons(&member.id), "name": member.name, "subsystems": subsystems})
    });
    ok(members.collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Option<String>,
}

async fn put_member(State(authority): Shared, headers: HeaderMap, Path(path): Path<String>, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    let named: Named = json(&body)?;
    done(desk.register_member(&id(&path)?, &named.name.unwrap_or_default()).await)
}

async fn delete_member(State(authority): Shared, headers: HeaderMap, Path(path): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    done(desk.delete_member(&id(&path)?).await)
}

async fn put_subsystem(State(authority): Shared, headers: HeaderMap, Path(path): Path<String>, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    let named: Named = json(&body)?;
    done(desk.register_subsystem(&id(&path)?, named.name.as_deref()).await)
}

async fn delete_subsystem(State(authority): Shared, headers: HeaderMap, Path(path): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    done(desk.delete_subsystem(&id(&path)?).await)
}

async fn servers(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let registry = desk.registry().await.map_err(problem)?;
    let categories = authority.0.store.read("authority.categories", store::categories_of_servers).await;
    let categories = categories.map_err(problem)?;
    let servers = registry.servers.iter().map(|server| {
        let hashes = server.auth_cert_hashes.iter().filter(|hash| hash.len() == 32);
        let clients: Vec<String> = server.clients.iter().map(colons).collect();
        json!({
            "id": colons(&server.id), "owner": colons(server.id.owner()), "address": server.address,
            "authentication_certificates_sha256": hashes.map(hex::encode).collect::<Vec<_>>(), "clients": clients,
            "maintenance": server.maintenance,
            "security_categories": categories.get(&server.id.to_string()).cloned().unwrap_or_default(),
        })
    });
    ok(servers.collect())
}

async fn delete_server(State(authority): Shared, headers: HeaderMap, Path(path): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    done(desk.delete_server(&id(&path)?).await)
}

async fn put_categories(State(authority): Shared, headers: HeaderMap, Path(path): Path<String>, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    let categories: Vec<String> = json(&body)?;
    done(desk.set_categories(&id(&path)?, &categories).await)
}

async fn groups(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let registry = desk.registry().await.map_err(problem)?;
    let groups = registry.groups.iter().map(|group| {
        let members: Vec<String> = group.members.iter().map(colons).collect();
        json!({"code": group.code, "description": group.description, "members": members})
    });
    ok(groups.collect())
}

async fn join_group(
    State(authority): Shared,
    headers: HeaderMap,
    Path((code, client)): Path<(String, String)>,
) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    done(desk.join_group(&code, &id(&client)?).await)
}

async fn leave_group(
    State(authority): Shared,
    headers: HeaderMap,
    Path((code, client)): Path<(String, String)>,
) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    done(desk.leave_group(&code, &id(&client)?).await)
}

async fn member_classes(State(authority): Shared, headers: HeaderMap) -> Answer {
    list(&authority, &headers, List::Classes).await
}

async fn security_categories(State(authority): Shared, headers: HeaderMap) -> Answer {
    list(&authority, &headers, List::Categories).await
}

async fn list(authority: &Authority, headers: &HeaderMap, list: List) -> Answer {
    let desk = enter(authority, headers, Role::Observer).await?;
    let codes = desk.codes(list).await.map_err(problem)?;
    ok(codes.iter().map(|(code, description)| json!({"code": code, "description": description})).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    description: String,
}

/// Put and delete of a code with a description.
fn codes(list: List) -> MethodRouter<Authority> {
    let role = if list == List::Groups { Role::RegistrationOfficer } else { Role::SystemAdministrator };
    let put_code = move |State(authority): Shared, headers: HeaderMap, Path(code): Path<String>, body: Bytes| async move {
        let desk = enter(&authority, &headers, role).await?;
        let described: Described = json(&body)?;
        done(match list {
            List::Classes => desk.put_class(&code, &described.description).await,
            List::Categories => desk.put_category(&code, &described.description).await,
            List::Groups => desk.put_group(&code, &described.description).await,
        })
    };
    let delete_code = move |State(authority): Shared, headers: HeaderMap, Path(code): Path<String>| async move {
        let desk = enter(&authority, &headers, role).await?;
        done(match list {
            List::Classes => desk.delete_class(&code).await,
            List::Categories => desk.delete_category(&code).await,
            List::Groups => desk.delete_group(&code).await,
        })
    };
    put(put_code).delete(delete_code)
}

async fn approvals(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let registry = desk.registry().await.map_err(problem)?;
    let approvals = registry.approvals.iter().map(|approval| json!({"id": approval.id().ok(), "settings": approval}));
    ok(approvals.collect())
}

async fn put_approval(State(authority): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    let approval: Approval = json(&body)?;
    ok(json!({"id": desk.approve_authority(&approval).await.map_err(problem)?}))
}

async fn delete_approval(State(authority): Shared, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    done(desk.withdraw_approval(&id).await)
}

async fn federation(State(authority): Shared, headers: HeaderMap) -> Answer {
    enter(&authority, &headers, Role::Observer).await?;
    let known = authority.0.store.read("authority.federation", store::federation).await.map_err(problem)?;
    ok(known.iter().map(|(instance, anchor)| json!({"instance": instance, "anchor": anchor})).collect())
}

/// The body is the anchor of the other instance, XML.
async fn federate(State(authority): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    let anchor = std::str::from_utf8(&body).map_err(|_| Problem::bad_request("The anchor is not UTF-8."))?;
    ok(json!({"instance": desk.federate(anchor).await.map_err(problem)?}))
}

async fn end_federation(State(authority): Shared, headers: HeaderMap, Path(instance): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    done(desk.end_federation(&instance).await)
}

async fn logs(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    ok(json!(desk.logs().await.map_err(problem)?))
}

/// The body is a policy (C2SP tlog-policy).
async fn put_logs(State(authority): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::bad_request("The policy is not UTF-8."))?;
    let policy: Policy = text.parse().map_err(|error: NoteError| Problem::bad_request(error.to_string()))?;
    ok(json!(desk.put_logs(&policy).await.map_err(problem)?))
}

async fn delete_log(State(authority): Shared, headers: HeaderMap, Path(origin): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    done(desk.delete_log(&origin).await)
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CertificateUse {
    Sign,
    Auth,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignRequest {
    certificate_use: CertificateUse,
    server: ServerId,
    member: MemberId,
    request_pem: String,
}

async fn sign_request(State(authority): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::RegistrationOfficer).await?;
    let wish: SignRequest = json(&body)?;
    let request = CertificateRequest::from_pem(&wish.request_pem).map_err(|error| problem(error.into()))?;
    let profile = match wish.certificate_use {
        CertificateUse::Sign => Profile::Sign,
        CertificateUse::Auth => Profile::Auth,
    };
    let certificate = desk.sign_csr(profile, &wish.server, &wish.member, &request).await.map_err(problem)?;
    ok(json!({"certificate_pem": certificate.to_pem(), "serial": hex::encode(certificate.serial())}))
}

async fn revoke(State(authority): Shared, headers: HeaderMap, Path(serial): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    let serial = hex::decode(&serial).map_err(|_| Problem::bad_request("A serial number is hexadecimal."))?;
    done(desk.revoke(&serial).await)
}

async fn signing_keys(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let keys = desk.signing_keys();
    ok(keys.iter().map(|key| json!({"number": key.number, "active": key.active, "sha256": key.sha256})).collect())
}

async fn activate(State(authority): Shared, headers: HeaderMap, Path(number): Path<u32>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    done(desk.activate_signing_key(number).await)
}

async fn retire(State(authority): Shared, headers: HeaderMap, Path(number): Path<u32>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    done(desk.retire_signing_key(number).await)
}

async fn add_key(State(authority): Shared, headers: HeaderMap, Path(used_for): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::SecurityOfficer).await?;
    let used_for = match used_for.as_str() {
        "authority" => KeyUse::Authority,
        "time-stamping" => KeyUse::TimeStamping,
        "configuration" => KeyUse::Configuration,
        _ => return Err(Problem::not_found().detail("The uses are authority, time-stamping, configuration.")),
    };
    done(desk.add_key(used_for).await)
}

async fn api_keys(State(authority): Shared, headers: HeaderMap) -> Answer {
    let desk = enter(&authority, &headers, Role::SystemAdministrator).await?;
    ok(desk.api_keys().await.map_err(problem)?.iter().map(key).collect())
}

fn key(key: &ApiKey) -> Value {
    json!({"id": key.id, "label": key.label, "roles": key.roles, "created_at": key.created_at.rfc3339()})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    label: String,
    roles: Vec<Role>,
}

async fn create_api_key(State(authority): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let desk = enter(&authority, &headers, Role::SystemAdministrator).await?;
    let wish: NewKey = json(&body)?;
    let (made, token) = desk.create_api_key(&wish.label, &wish.roles).await.map_err(problem)?;
    let mut answer = key(&made);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("token".to_owned(), token.into());
    }
    ok(answer)
}

async fn revoke_api_key(State(authority): Shared, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    let desk = enter(&authority, &headers, Role::SystemAdministrator).await?;
    done(desk.revoke_api_key(&id).await)
}

#[derive(Deserialize)]
struct Before {
    before: Option<i64>,
}

async fn audit(State(authority): Shared, headers: HeaderMap, Query(query): Query<Before>) -> Answer {
    let desk = enter(&authority, &headers, Role::Observer).await?;
    let entries = desk.audit(query.before).await.map_err(problem)?;
    let entries = entries.iter().map(|entry| {
        json!({
            "id": entry.id, "at": entry.at.rfc3339(), "actor": entry.actor, "action": entry.action,
            "subject": entry.subject, "detail": entry.detail,
        })
    });
    ok(entries.collect())
}

/// The proof of an act from the log, for `baobab verify --policy`.
async fn act_proof(State(authority): Shared, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    enter(&authority, &headers, Role::Observer).await?;
    let id: i64 = id.parse().map_err(|_| Problem::not_found())?;
    let acts = authority.acts().ok_or_else(|| Problem::not_found().detail("This authority commits to no log."))?;
    match acts.proof(id).await {
        Ok(proof) => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], proof).into_response()),
        Err(ActsError::Outbox(OutboxError::Unknown)) => Err(Problem::not_found()),
        Err(error) => Err(Problem::unavailable(&error).detail(error.to_string())),
    }
}
