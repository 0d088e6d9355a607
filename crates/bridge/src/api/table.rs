//! The one table of the API.

use std::pin::Pin;
use std::sync::LazyLock;

use http::Method;

use super::auth::Role::{
    self, XroadRegistrationOfficer as Registrar, XroadSecurityOfficer as Officer,
    XroadSecurityserverObserver as Observer, XroadServiceAdministrator as Services, XroadSystemAdministrator as System,
};
use super::call::{Call, Result};
use super::{
    api_keys, backups, certificates, clients, diagnostics, federation, groups, internal, keys, management, messages,
    rights, services, tokens,
};

/// What an operation does with a call.
pub(super) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Result> + Send>>;

/// What an operation takes as its body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    None,
    /// JSON of this schema; `[X]` is an array of X.
    Json(&'static str),
    /// Bytes: certificates, backups.
    Bytes,
}

/// What it answers when it worked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// 204.
    Nothing,
    /// 202: the authority was asked.
    Accepted,
    /// This status with JSON of this schema.
    Json(u16, &'static str),
    /// A file.
    File(&'static str),
}

/// One operation.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) roles: &'static [Role],
    pub(super) query: &'static [&'static str],
    pub(super) body: BodyKind,
    pub(super) answer: Answer,
    pub(super) run: Handler,
}

/// An operation as tests and documents see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationInfo {
    /// The method.
    pub method: Method,
    /// The path below [`super::BASE`], with `{names}`.
    pub path: &'static str,
    /// X-Road's name of it.
    pub id: &'static str,
    /// Any of these roles may.
    pub roles: &'static [Role],
}

/// All operations.
pub fn operations_info() -> Vec<OperationInfo> {
    let info = |one: &Operation| {
        let Operation { method, path, id, roles, .. } = one;
        OperationInfo { method: method.clone(), path, id, roles }
    };
    operations().iter().map(info).collect()
}

/// The operation with this name.
pub(super) fn operation(id: &str) -> Option<&'static Operation> {
    operations().iter().find(|one| one.id == id)
}

/// The roles of an operation; any of them may. None where there is no such operation, so that nobody may.
pub(crate) fn roles_of(id: &str) -> &'static [Role] {
    operation(id).map_or(&[], |one| one.roles)
}

const EVERYONE: &[Role] = &Role::ALL;
const REGISTRAR: &[Role] = &[Registrar];
const SERVICES: &[Role] = &[Services];
const SYSTEM: &[Role] = &[System];
const VIEW_CLIENTS: &[Role] = &[Officer, Registrar, Services, Observer];
const VIEW_CLIENT: &[Role] = &[Registrar, Services, Observer];
const EDIT_CLIENT: &[Role] = &[Registrar, Services];
const VIEW_SERVICES: &[Role] = &[Services, Observer];
const VIEW_KEYS: &[Role] = &[Officer, Registrar, System, Observer];
const VIEW_CERTIFICATES: &[Role] = &EVERYONE_ARRAY;
const EVERYONE_ARRAY: [Role; 5] = Role::ALL;
const KEYS: &[Role] = &[Officer, Registrar];
const NAME_KEYS: &[Role] = &[Officer, Registrar, System];
const LOGIN: &[Role] = &[Officer, System];
const OFFICER: &[Role] = &[Officer];
const VIEW_SYSTEM: &[Role] = &[Officer, System, Observer];
const ANCHOR: &[Role] = &[Officer, System];
const ADDRESS: &[Role] = &[Officer, System];
const VIEW_AUTHORITIES: &[Role] = &[Registrar, Officer, Observer, System];
const DIAGNOSTICS: &[Role] = &[System, Observer];
const VIEW_API_KEYS: &[Role] = &[System, Observer];
const LOG_READERS: &[Role] = &[Officer, System];

/// `op!(METHOD "path" operationId ROLES [query], body => answer, handler)`.
macro_rules! op {
    ($method:ident $path:literal $id:ident $roles:ident [$($query:literal),*], $body:expr => $answer:expr, $run:path) => {
        Operation {
            method: Method::$method,
            path: $path,
            id: stringify!($id),
            roles: $roles,
            query: &[$($query),*],
            body: $body,
            answer: $answer,
            run: |call| Box::pin($run(call)),
        }
    };
}

const NO: BodyKind = BodyKind::None;
const BYTES: BodyKind = BodyKind::Bytes;
const DONE: Answer = Answer::Nothing;

const fn takes(schema: &'static str) -> BodyKind {
    BodyKind::Json(schema)
}

const fn gives(schema: &'static str) -> Answer {
    Answer::Json(200, schema)
}

const fn makes(schema: &'static str) -> Answer {
    Answer::Json(201, schema)
}

/// The table. Every page of the console looks into it.
pub(super) fn operations() -> &'static [Operation] {
    static TABLE: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        let rooms = [of_clients(), of_services(), of_rights(), of_keys(), of_the_node(), of_the_federation()];
        rooms.into_iter().flatten().collect()
    });
    &TABLE
}

fn of_clients() -> Vec<Operation> {
    vec![
        op!(GET "/clients" findClients VIEW_CLIENTS ["name", "instance", "member_class", "member_code", "subsystem_code", "internal_search", "show_members"], NO => gives("[Client]"), clients::find),
        op!(POST "/clients" addClient REGISTRAR [], takes("ClientAdd") => makes("Client"), clients::add),
        op!(GET "/clients/{id}" getClient VIEW_CLIENT [], NO => gives("Client"), clients::get),
        op!(PATCH "/clients/{id}" updateClient EDIT_CLIENT [], takes("ConnectionTypeWrapper") => gives("Client"), clients::update),
        op!(DELETE "/clients/{id}" deleteClient REGISTRAR [], NO => DONE, clients::delete),
        op!(PUT "/clients/{id}/register" registerClient REGISTRAR [], NO => DONE, clients::register),
        op!(PUT "/clients/{id}/unregister" unregisterClient REGISTRAR [], NO => DONE, clients::unregister),
        op!(PUT "/clients/{id}/enable" enableClient REGISTRAR [], NO => DONE, clients::enable),
        op!(PUT "/clients/{id}/disable" disableClient REGISTRAR [], NO => DONE, clients::disable),
        op!(PUT "/clients/{id}/make-owner" changeOwner REGISTRAR [], NO => DONE, management::make_owner),
        op!(PUT "/clients/{id}/rename" renameClient REGISTRAR [], takes("ClientName") => DONE, clients::rename),
        op!(GET "/clients/{id}/tls-certificates" getClientTlsCertificates VIEW_CLIENT [], NO => gives("[CertificateDetails]"), clients::tls_certificates),
        op!(POST "/clients/{id}/tls-certificates" addClientTlsCertificate EDIT_CLIENT [], BYTES => makes("CertificateDetails"), clients::add_tls_certificate),
        op!(GET "/clients/{id}/tls-certificates/{hash}" getClientTlsCertificate VIEW_CLIENT [], NO => gives("CertificateDetails"), clients::tls_certificate),
        op!(DELETE "/clients/{id}/tls-certificates/{hash}" deleteClientTlsCertificate EDIT_CLIENT [], NO => DONE, clients::delete_tls_certificate),
        op!(GET "/clients/{id}/sign-certificates" getClientSignCertificates VIEW_CLIENT [], NO => gives("[TokenCertificate]"), keys::sign_certificates_of_client),
        op!(GET "/clients/{id}/local-groups" getClientLocalGroups VIEW_SERVICES [], NO => gives("[LocalGroup]"), groups::list),
        op!(POST "/clients/{id}/local-groups" addClientLocalGroup SERVICES [], takes("LocalGroupAdd") => makes("LocalGroup"), groups::add),
        op!(GET "/local-groups/{id}" getLocalGroup VIEW_SERVICES [], NO => gives("LocalGroup"), groups::get),
        op!(PATCH "/local-groups/{id}" updateLocalGroup SERVICES [], takes("LocalGroupDescription") => gives("LocalGroup"), groups::update),
        op!(DELETE "/local-groups/{id}" deleteLocalGroup SERVICES [], NO => DONE, groups::delete),
        op!(POST "/local-groups/{id}/members" addLocalGroupMember SERVICES [], takes("Members") => makes("Members"), groups::add_members),
        op!(POST "/local-groups/{id}/members/delete" deleteLocalGroupMember SERVICES [], takes("Members") => DONE, groups::delete_members),
    ]
}

fn of_services() -> Vec<Operation> {
    vec![
        op!(GET "/clients/{id}/service-descriptions" getClientServiceDescriptions VIEW_SERVICES [], NO => gives("[ServiceDescription]"), services::list),
        op!(POST "/clients/{id}/service-descriptions" addClientServiceDescription SERVICES [], takes("ServiceDescriptionAdd") => makes("ServiceDescription"), services::add),
        op!(GET "/service-descriptions/{id}" getServiceDescription VIEW_SERVICES [], NO => gives("ServiceDescription"), services::get_description),
        op!(PATCH "/service-descriptions/{id}" updateServiceDescription SERVICES [], takes("ServiceDescriptionUpdate") => gives("ServiceDescription"), services::update_description),
        op!(DELETE "/service-descriptions/{id}" deleteServiceDescription SERVICES [], NO => DONE, services::delete_description),
        op!(PUT "/service-descriptions/{id}/enable" enableServiceDescription SERVICES [], NO => DONE, services::enable),
        op!(PUT "/service-descriptions/{id}/disable" disableServiceDescription SERVICES [], takes("ServiceDescriptionDisabledNotice") => DONE, services::disable),
        op!(PUT "/service-descriptions/{id}/refresh" refreshServiceDescription SERVICES [], takes("IgnoreWarnings") => gives("ServiceDescription"), services::refresh),
        op!(GET "/service-descriptions/{id}/services" getServiceDescriptionServices VIEW_SERVICES [], NO => gives("[Service]"), services::of_description),
        op!(GET "/services/{id}" getService VIEW_SERVICES [], NO => gives("Service"), services::get),
        op!(PATCH "/services/{id}" updateService SERVICES [], takes("ServiceUpdate") => gives("Service"), services::update),
        op!(POST "/services/{id}/endpoints" addEndpoint SERVICES [], takes("Endpoint") => makes("Endpoint"), services::add_endpoint),
        op!(GET "/endpoints/{id}" getEndpoint VIEW_SERVICES [], NO => gives("Endpoint"), services::get_endpoint),
        op!(PATCH "/endpoints/{id}" updateEndpoint SERVICES [], takes("EndpointUpdate") => gives("Endpoint"), services::update_endpoint),
        op!(DELETE "/endpoints/{id}" deleteEndpoint SERVICES [], NO => DONE, services::delete_endpoint),
    ]
}

fn of_rights() -> Vec<Operation> {
    vec![
        op!(GET "/services/{id}/service-clients" getServiceServiceClients VIEW_SERVICES [], NO => gives("[ServiceClient]"), rights::of_service),
        op!(POST "/services/{id}/service-clients" addServiceServiceClients SERVICES [], takes("ServiceClients") => makes("[ServiceClient]"), rights::add_to_service),
        op!(POST "/services/{id}/service-clients/delete" deleteServiceServiceClients SERVICES [], takes("ServiceClients") => DONE, rights::delete_from_service),
        op!(GET "/endpoints/{id}/service-clients" getEndpointServiceClients VIEW_SERVICES [], NO => gives("[ServiceClient]"), rights::of_endpoint),
        op!(POST "/endpoints/{id}/service-clients" addEndpointServiceClients SERVICES [], takes("ServiceClients") => makes("[ServiceClient]"), rights::add_to_endpoint),
        op!(POST "/endpoints/{id}/service-clients/delete" deleteEndpointServiceClients SERVICES [], takes("ServiceClients") => DONE, rights::delete_from_endpoint),
        op!(GET "/clients/{id}/service-clients" getClientServiceClients VIEW_SERVICES [], NO => gives("[ServiceClient]"), rights::of_client),
        op!(GET "/clients/{id}/service-clients/{sc_id}" getServiceClient VIEW_SERVICES [], NO => gives("ServiceClient"), rights::service_client),
        op!(GET "/clients/{id}/service-clients/{sc_id}/access-rights" getServiceClientAccessRights VIEW_SERVICES [], NO => gives("[AccessRight]"), rights::of_service_client),
        op!(POST "/clients/{id}/service-clients/{sc_id}/access-rights" addServiceClientAccessRights SERVICES [], takes("AccessRights") => makes("[AccessRight]"), rights::add_to_service_client),
        op!(POST "/clients/{id}/service-clients/{sc_id}/access-rights/delete" deleteServiceClientAccessRights SERVICES [], takes("AccessRights") => DONE, rights::delete_from_service_client),
        op!(GET "/clients/{id}/service-client-candidates" findServiceClientCandidates VIEW_SERVICES ["member_name_group_description", "service_client_type", "instance", "member_class", "member_group_code", "subsystem_code"], NO => gives("[ServiceClient]"), rights::candidates),
    ]
}

fn of_keys() -> Vec<Operation> {
    vec![
        op!(GET "/tokens" getTokens VIEW_KEYS [], NO => gives("[Token]"), tokens::tokens),
        op!(GET "/tokens/{id}" getToken VIEW_KEYS [], NO => gives("Token"), tokens::token),
        op!(PUT "/tokens/{id}/login" loginToken LOGIN [], takes("TokenPassword") => gives("Token"), tokens::login),
        op!(PUT "/tokens/{id}/logout" logoutToken LOGIN [], NO => gives("Token"), tokens::logout),
        op!(POST "/tokens/{id}/keys" addKey KEYS [], takes("KeyLabel") => makes("Key"), keys::add),
        op!(POST "/tokens/{id}/keys-with-csrs" addKeyAndCsr KEYS [], takes("KeyLabelWithCsrGenerate") => makes("KeyWithCertificateSigningRequestId"), keys::add_with_csr),
        op!(GET "/keys/{id}" getKey VIEW_KEYS [], NO => gives("Key"), keys::get),
        op!(PATCH "/keys/{id}" updateKey NAME_KEYS [], takes("KeyName") => gives("Key"), keys::rename),
        op!(DELETE "/keys/{id}" deleteKey KEYS [], NO => DONE, keys::delete),
        op!(POST "/keys/{id}/csrs" generateCsr KEYS [], takes("CsrGenerate") => Answer::File("application/octet-stream"), keys::add_csr),
        op!(GET "/keys/{id}/csrs/{csr_id}" downloadCsr KEYS ["csr_format"], NO => Answer::File("application/octet-stream"), keys::download_csr),
        op!(DELETE "/keys/{id}/csrs/{csr_id}" deleteCsr KEYS [], NO => DONE, keys::delete_csr),
        op!(POST "/token-certificates" importCertificate KEYS [], BYTES => makes("TokenCertificate"), certificates::import),
        op!(GET "/token-certificates/{hash}" getCertificate VIEW_CERTIFICATES [], NO => gives("TokenCertificate"), certificates::get),
        op!(DELETE "/token-certificates/{hash}" deleteCertificate KEYS [], NO => DONE, certificates::delete),
        op!(PUT "/token-certificates/{hash}/activate" activateCertificate KEYS [], NO => DONE, certificates::activate),
        op!(PUT "/token-certificates/{hash}/disable" disableCertificate KEYS [], NO => DONE, certificates::disable),
        op!(GET "/token-certificates/{hash}/possible-actions" getPossibleActionsForCertificate VIEW_CERTIFICATES [], NO => gives("[PossibleAction]"), certificates::possible_actions),
        op!(PUT "/token-certificates/{hash}/register" registerCertificate OFFICER [], takes("SecurityServerAddress") => DONE, certificates::register),
        op!(PUT "/token-certificates/{hash}/unregister" unregisterAuthCertificate OFFICER [], NO => DONE, certificates::unregister),
        op!(PUT "/token-certificates/{hash}/mark-for-deletion" markAuthCertForDeletion OFFICER [], NO => DONE, certificates::mark_for_deletion),
    ]
}

fn of_the_node() -> Vec<Operation> {
    vec![
        op!(GET "/initialization/status" getInitializationStatus EVERYONE [], NO => gives("InitializationStatus"), diagnostics::initialization_status),
        op!(POST "/initialization" initSecurityServer SYSTEM [], takes("InitialServerConf") => makes("InitializationStatus"), diagnostics::initialize),
        op!(GET "/system/version" systemVersion EVERYONE [], NO => gives("VersionInfo"), diagnostics::version),
        op!(GET "/system/node-type" getNodeType EVERYONE [], NO => gives("NodeTypeResponse"), diagnostics::node_type),
        op!(GET "/system/anchor" getAnchor VIEW_SYSTEM [], NO => gives("Anchor"), diagnostics::anchor),
        op!(GET "/system/anchor/download" downloadAnchor ANCHOR [], NO => Answer::File("application/xml"), diagnostics::download_anchor),
        op!(GET "/system/server-address" getServerAddress VIEW_SYSTEM [], NO => gives("SecurityServerAddressStatus"), management::address),
        op!(PUT "/system/server-address" addressChange ADDRESS [], takes("ServerAddress") => Answer::Accepted, management::change_address),
        op!(GET "/system/maintenance-mode" maintenanceMode VIEW_SYSTEM [], NO => gives("MaintenanceMode"), management::maintenance),
        op!(PUT "/system/maintenance-mode/enable" enableMaintenanceMode SYSTEM [], takes("MaintenanceModeMessage") => DONE, management::enable_maintenance),
        op!(PUT "/system/maintenance-mode/disable" disableMaintenanceMode SYSTEM [], NO => DONE, management::disable_maintenance),
        op!(GET "/system/timestamping-services" getConfiguredTimestampingServices VIEW_SYSTEM [], NO => gives("[TimestampingService]"), federation::timestamping_services),
        op!(POST "/system/timestamping-services" addConfiguredTimestampingService SYSTEM [], takes("TimestampingService") => makes("TimestampingService"), federation::add_timestamping_service),
        op!(POST "/system/timestamping-services/delete" deleteConfiguredTimestampingService SYSTEM [], takes("TimestampingService") => DONE, federation::delete_timestamping_service),
        op!(GET "/system/certificate" getSystemCertificate VIEW_SYSTEM [], NO => gives("CertificateDetails"), internal::certificate),
        op!(GET "/system/certificate/export" downloadSystemCertificate VIEW_SYSTEM [], NO => Answer::File("application/gzip"), internal::export),
        op!(POST "/system/anchor" uploadInitialAnchor ANCHOR [], BYTES => makes("Nothing"), diagnostics::upload_anchor),
        op!(GET "/diagnostics/globalconf" getGlobalConfDiagnostics DIAGNOSTICS [], NO => gives("GlobalConfDiagnostics"), diagnostics::globalconf),
        op!(GET "/diagnostics/ocsp-responders" getOcspRespondersDiagnostics DIAGNOSTICS [], NO => gives("[CaOcspDiagnostics]"), diagnostics::ocsp),
        op!(GET "/diagnostics/timestamping-services" getTimestampingServicesDiagnostics DIAGNOSTICS [], NO => gives("[TimestampingServiceDiagnostics]"), diagnostics::timestamping),
        op!(GET "/backups" getBackups SYSTEM [], NO => gives("[Backup]"), backups::list),
        op!(POST "/backups" addBackup SYSTEM [], NO => makes("Backup"), backups::add),
        op!(POST "/backups/upload" uploadBackup SYSTEM ["filename"], BYTES => makes("Backup"), backups::upload),
        op!(GET "/backups/{filename}/download" downloadBackup SYSTEM [], NO => Answer::File("application/octet-stream"), backups::download),
        op!(PUT "/backups/{filename}/restore" restoreBackup SYSTEM [], NO => gives("TokensLoggedOut"), backups::restore),
        op!(DELETE "/backups/{filename}" deleteBackup SYSTEM [], NO => DONE, backups::delete),
        op!(GET "/message-log" searchMessageLog LOG_READERS ["from", "to", "client", "service", "peer", "message_id", "request_id", "outcome", "subject", "after", "limit"], NO => gives("LoggedMessages"), messages::search),
        op!(GET "/audit" getAudit VIEW_SYSTEM ["limit"], NO => gives("[AuditEntry]"), messages::audit),
        op!(GET "/user" getUser EVERYONE [], NO => gives("User"), api_keys::user),
        op!(GET "/api-keys" getApiKeys VIEW_API_KEYS [], NO => gives("[ApiKey]"), api_keys::list),
        op!(POST "/api-keys" addApiKey SYSTEM [], takes("[Role]+") => gives("NewApiKey"), api_keys::add),
        op!(GET "/api-keys/{id}" getApiKey VIEW_API_KEYS [], NO => gives("ApiKey"), api_keys::get),
        op!(PUT "/api-keys/{id}" updateApiKey SYSTEM [], takes("[Role]+") => gives("ApiKey"), api_keys::update),
        op!(DELETE "/api-keys/{id}" deleteApiKey SYSTEM [], NO => gives("Nothing"), api_keys::delete),
    ]
}

fn of_the_federation() -> Vec<Operation> {
    vec![
        op!(GET "/xroad-instances" getXRoadInstances EVERYONE [], NO => gives("[Text]"), federation::instances),
        op!(GET "/member-classes" getMemberClasses EVERYONE ["current_instance"], NO => gives("[Text]"), federation::member_classes),
        op!(GET "/member-classes/{id}" getMemberClassesForInstance EVERYONE [], NO => gives("[Text]"), federation::member_classes_of),
        op!(GET "/member-names" findMemberName SYSTEM ["member_class", "member_code"], NO => gives("MemberName"), federation::member_name),
        op!(GET "/security-servers" getSecurityServers EVERYONE ["current_server"], NO => gives("[SecurityServer]"), federation::servers),
        op!(GET "/security-servers/{id}" getSecurityServer SYSTEM [], NO => gives("SecurityServer"), federation::server),
        op!(GET "/certificate-authorities" getApprovedCertificateAuthorities VIEW_AUTHORITIES ["key_usage_type", "include_intermediate_cas"], NO => gives("[CertificateAuthority]"), federation::authorities),
        op!(GET "/timestamping-services" getApprovedTimestampingServices VIEW_SYSTEM [], NO => gives("[TimestampingService]"), federation::timestamping_services),
    ]
}
