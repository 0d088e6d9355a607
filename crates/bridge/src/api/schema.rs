//! The JSON of the API, as JSON Schema.

use serde_json::{Value as Json, json};

use super::auth::Role;

/// A reference to a schema; `[X]` is an array of it, `[X]+` one that is not empty.
pub(super) fn reference(name: &str) -> Json {
    if let Some(inner) = name.strip_suffix('+') {
        let mut array = reference(inner);
        if let Some(array) = array.as_object_mut() {
            array.insert("minItems".to_owned(), json!(1));
        }
        return array;
    }
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some("Text") => json!({ "type": "array", "items": { "type": "string" } }),
        Some(inner) => json!({ "type": "array", "items": reference(inner) }),
        None => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// The schema of a parameter of a query.
pub(super) fn of_query(name: &str) -> Json {
    match name {
        "internal_search" | "show_members" | "current_instance" | "current_server" | "include_intermediate_cas" => {
            json!({ "type": "boolean" })
        }
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        "csr_format" => json!({ "type": "string", "enum": ["PEM", "DER"] }),
        "key_usage_type" => json!({ "type": "string", "enum": ["AUTHENTICATION", "SIGNING"] }),
        "service_client_type" => json!({ "type": "string", "enum": ["GLOBALGROUP", "LOCALGROUP", "SUBSYSTEM"] }),
        _ => json!({ "type": "string", "maxLength": 255 }),
    }
}

/// Text without control characters.
pub(super) const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Parameters of a query without which an operation means nothing.
pub(super) fn is_required(operation: &str, name: &str) -> bool {
    matches!((operation, name), ("findMemberName", _) | ("uploadBackup", "filename"))
}

/// Bodies that may be left out.
pub(super) fn is_optional(name: &str) -> bool {
    matches!(
        name,
        "ServiceDescriptionDisabledNotice"
            | "IgnoreWarnings"
            | "TokenPassword"
            | "InitialServerConf"
            | "SecurityServerAddress"
            | "MaintenanceModeMessage"
    )
}

/// An object: `*name` is required; after the colon stands the type.
fn object(fields: &[&str]) -> Json {
    let (mut properties, mut required, mut optional) = (serde_json::Map::new(), Vec::new(), Vec::new());
    for field in fields {
        let (name, kind) = field.split_once(':').unwrap_or((field, "string"));
        let name = name.strip_prefix('*').map_or(name, |name| {
            required.push(name);
            name
        });
        properties.insert(name.to_owned(), kind_of(kind));
        if !required.contains(&name) {
            optional.push(name.to_owned());
        }
    }
    // Clients that were generated from X-Road's description send null for what they leave out.
    for name in optional {
        if let Some(kind) = properties.get_mut(&name) {
            let mut taken = kind.take();
            if taken.get("$ref").is_some() {
                taken = json!({ "allOf": [taken] });
            }
            if let Some(taken) = taken.as_object_mut().filter(|taken| !taken.is_empty()) {
                taken.insert("nullable".to_owned(), json!(true));
            }
            *kind = taken;
        }
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    if let (Some(schema), false) = (schema.as_object_mut(), required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn kind_of(kind: &str) -> Json {
    match kind {
        "string" => json!({ "type": "string" }),
        "text" => json!({ "type": "string", "maxLength": 4096, "pattern": PRINTABLE }),
        "name" => json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": PRINTABLE }),
        "ids" => json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } }),
        "message" => json!({ "type": "string", "maxLength": 255, "pattern": PRINTABLE }),
        "basis" => words(&["public", "law", "consent"]),
        "integer" => json!({ "type": "integer" }),
        "timeout" => json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        "boolean" => json!({ "type": "boolean" }),
        "moment" => json!({ "type": "string", "format": "date-time" }),
        "strings" => json!({ "type": "array", "items": { "type": "string" } }),
        "map" => json!({ "type": "object", "additionalProperties": { "type": "string", "nullable": true } }),
        "any" => json!({}),
        "method" => {
            json!({ "type": "string", "enum": ["*", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"] })
        }
        "maintenance" => words(&[
            "PENDING_ENABLE_MAINTENANCE_MODE",
            "ENABLED_MAINTENANCE_MODE",
            "PENDING_DISABLE_MAINTENANCE_MODE",
            "DISABLED_MAINTENANCE_MODE",
        ]),
        "status_class" => json!({ "type": "string", "enum": ["OK", "WAITING", "FAIL"] }),
        other => reference(other),
    }
}

fn words(words: &[&str]) -> Json {
    json!({ "type": "string", "enum": words })
}

/// All schemas.
pub(super) fn components() -> Json {
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.word()).collect();
    let mut all = json!({
        "Role": words(&roles),
        "ConnectionType": words(&["HTTP", "HTTPS", "HTTPS_NO_AUTH"]),
        "ClientStatus": words(&["REGISTERED", "SAVED", "GLOBAL_ERROR", "REGISTRATION_IN_PROGRESS", "DELETION_IN_PROGRESS", "DISABLED", "DISABLING_IN_PROGRESS", "ENABLING_IN_PROGRESS"]),
        "ServiceType": words(&["REST", "OPENAPI3", "WSDL"]),
        "ServiceClientType": words(&["GLOBALGROUP", "LOCALGROUP", "SUBSYSTEM"]),
        "LogMode": words(&["full", "metadata", "none"]),
        "KeyUsageType": words(&["AUTHENTICATION", "SIGNING"]),
        "PossibleAction": words(&["DELETE", "ACTIVATE", "DISABLE", "LOGIN", "LOGOUT", "REGISTER", "UNREGISTER", "GENERATE_KEY", "EDIT_FRIENDLY_NAME", "GENERATE_AUTH_CSR", "GENERATE_SIGN_CSR"]),
        "Nothing": object(&[]),
        "CodeWithDetails": object(&["*code", "metadata:strings"]),
        "ErrorInfo": object(&["*status:integer", "error:CodeWithDetails", "warnings:[CodeWithDetails]"]),
    });
    for part in [of_clients(), of_services(), of_keys(), of_the_node()] {
        if let (Some(all), Json::Object(part)) = (all.as_object_mut(), part) {
            all.extend(part);
        }
    }
    all
}

fn of_clients() -> Json {
    json!({
        "Client": object(&["id", "instance_id", "member_name", "*member_class:name", "*member_code:name", "subsystem_code:name", "subsystem_name", "owner:boolean", "has_valid_local_sign_cert:boolean", "connection_type:ConnectionType", "status:ClientStatus", "log_mode:LogMode", "declared:boolean"]),
        "ClientAdd": object(&["*client:Client", "ignore_warnings:boolean"]),
        "ClientName": object(&["*client_name:name"]),
        "ConnectionTypeWrapper": object(&["connection_type:ConnectionType", "log_mode:LogMode"]),
        "LocalGroup": object(&["id", "*code", "*description:text", "member_count:integer", "updated_at:moment", "members:[GroupMember]"]),
        "LocalGroupAdd": object(&["*code:name", "*description:text"]),
        "LocalGroupDescription": object(&["*description:text"]),
        "GroupMember": object(&["*id", "*member_name", "*name", "*created_at:moment"]),
        "Members": object(&["*items:ids"]),
    })
}

fn of_services() -> Json {
    json!({
        "ServiceDescription": object(&["*id", "*url", "*type:ServiceType", "*disabled:boolean", "*disabled_notice", "*refreshed_at:moment", "*services:[Service]", "*client_id", "declared:boolean"]),
        "ServiceDescriptionAdd": object(&["*url:name", "rest_service_code:name", "ignore_warnings:boolean", "*type:ServiceType", "description"]),
        "ServiceDescriptionUpdate": object(&["*url:name", "rest_service_code:name", "new_rest_service_code:name", "ignore_warnings:boolean", "*type:ServiceType", "description"]),
        "ServiceDescriptionDisabledNotice": object(&["disabled_notice:text"]),
        "IgnoreWarnings": object(&["ignore_warnings:boolean"]),
        "Service": object(&["*id", "full_service_code", "*service_code", "*timeout:integer", "title", "ssl_auth:boolean", "subjects_count:integer", "*url", "endpoints:[Endpoint]", "basis:Basis", "subject:any", "fields:strings"]),
        "Basis": object(&["*basis:basis", "reference", "purpose_code", "purpose_text"]),
        "ServiceUpdate": object(&["*url:name", "*timeout:timeout", "*ssl_auth:boolean", "url_all:boolean", "timeout_all:boolean", "ssl_auth_all:boolean", "ignore_warnings:boolean", "basis:Basis", "subject:any", "fields:strings"]),
        "Endpoint": object(&["id", "service_code", "*method:method", "*path:name", "generated:boolean"]),
        "EndpointUpdate": object(&["*method:method", "*path:name"]),
        "ServiceClient": object(&["*id", "name", "local_group_code", "service_client_type:ServiceClientType", "rights_given_at:moment"]),
        "ServiceClients": object(&["*items:[ServiceClient]+"]),
        "AccessRight": object(&["*service_code", "service_title", "rights_given_at:moment"]),
        "AccessRights": object(&["*items:[AccessRight]+"]),
    })
}

fn of_keys() -> Json {
    json!({
        "Token": object(&["*id", "*name", "*type", "*keys:[Key]", "*status", "*logged_in:boolean", "*available:boolean", "*saved_to_configuration:boolean", "*read_only:boolean", "serial_number", "token_infos:[TokenInfo]", "possible_actions:[PossibleAction]"]),
        "TokenInfo": object(&["*key", "*value"]),
        "TokenPassword": object(&["password"]),
        "Key": object(&["*id", "*name", "*label", "*certificates:[TokenCertificate]", "*certificate_signing_requests:[TokenCertificateSigningRequest]", "usage:KeyUsageType", "available:boolean", "saved_to_configuration:boolean", "possible_actions:[PossibleAction]", "*key_algorithm"]),
        "KeyLabel": object(&["label:name", "key_usage_type:KeyUsageType"]),
        "KeyName": object(&["*name:name"]),
        "KeyLabelWithCsrGenerate": object(&["*key_label", "*csr_generate_request:CsrGenerate"]),
        "CsrGenerate": object(&["*key_usage_type:KeyUsageType", "ca_name", "*csr_format:CsrFormat", "member_id", "*subject_field_values:map", "acme_order:boolean"]),
        "CsrFormat": words(&["PEM", "DER"]),
        "KeyWithCertificateSigningRequestId": object(&["*key:Key", "*csr_id"]),
        "TokenCertificateSigningRequest": object(&["*id", "*owner_id", "*possible_actions:[PossibleAction]"]),
        "TokenCertificate": object(&["*ocsp_status", "*owner_id", "*active:boolean", "*saved_to_configuration:boolean", "*certificate_details:CertificateDetails", "*status:CertificateStatus", "possible_actions:[PossibleAction]"]),
        "CertificateStatus": words(&["SAVED", "REGISTRATION_IN_PROGRESS", "REGISTERED", "DELETION_IN_PROGRESS", "GLOBAL_ERROR"]),
        "CertificateDetails": object(&["*issuer_distinguished_name", "*issuer_common_name", "*subject_distinguished_name", "*subject_common_name", "*not_before:moment", "*not_after:moment", "*serial", "*version:integer", "*signature_algorithm", "*signature", "*public_key_algorithm", "*rsa_public_key_modulus", "*rsa_public_key_exponent:integer", "ec_public_key_point", "ec_public_parameters", "*hash", "*key_usages:strings", "*subject_alternative_names"]),
        "SecurityServerAddress": object(&["address"]),
        "ServerAddress": object(&["*address:name"]),
    })
}

fn of_the_node() -> Json {
    json!({
        "InitializationStatus": object(&["*is_anchor_imported:boolean", "*is_server_code_initialized:boolean", "*is_server_owner_initialized:boolean", "*software_token_init_status", "*enforce_token_pin_policy:boolean"]),
        "InitialServerConf": object(&["owner_member_class", "owner_member_code", "security_server_code", "software_token_pin", "ignore_warnings:boolean"]),
        "VersionInfo": object(&["*info", "global_configuration_version:integer"]),
        "NodeTypeResponse": object(&["node_type"]),
        "Anchor": object(&["*hash", "*created_at:moment"]),
        "SecurityServerAddressStatus": object(&["current_address:ServerAddress", "requested_change:ServerAddress"]),
        "MaintenanceMode": object(&["*status:maintenance", "*is_management_services_provider:boolean", "message"]),
        "MaintenanceModeMessage": object(&["message:message"]),
        "TimestampingService": object(&["*name:name", "*url:name", "cost_type:CostType"]),
        "CostType": words(&["FREE", "PAID", "UNDEFINED"]),
        "GlobalConfDiagnostics": object(&["*status_class:status_class", "*prev_update_at:moment", "*next_update_at:moment", "*status_code", "error:CodeWithDetails"]),
        "CaOcspDiagnostics": object(&["*distinguished_name", "*ocsp_responders:[OcspResponderDiagnostics]"]),
        "OcspResponderDiagnostics": object(&["*url", "*status_class:status_class", "prev_update_at:moment", "*next_update_at:moment", "*status_code", "error:CodeWithDetails"]),
        "TimestampingServiceDiagnostics": object(&["*url", "*status_class:status_class", "*prev_update_at:moment", "*status_code", "error:CodeWithDetails"]),
        "Backup": object(&["*filename", "*created_at:moment"]),
        "TokensLoggedOut": object(&["hsm_tokens_logged_out:boolean"]),
        "LoggedMessage": object(&["*message_id", "*request_id", "*client", "*service", "*role", "*kind", "*outcome", "*at:moment", "stamped:boolean"]),
        "LoggedMessages": object(&["*records:[LoggedMessage]", "next:any"]),
        "AuditEntry": object(&["*at:moment", "*author", "*action", "*object", "*detail:any"]),
        "User": object(&["*username", "*roles:strings", "*permissions:strings"]),
        "ApiKey": object(&["*id:integer", "*roles:[Role]"]),
        "NewApiKey": object(&["*id:integer", "*key", "*roles:[Role]"]),
        "MemberName": object(&["member_name"]),
        "SecurityServer": object(&["*id", "instance_id", "member_class", "member_code", "server_code", "server_address"]),
        "CertificateAuthority": object(&["*name", "*subject_distinguished_name", "*issuer_distinguished_name", "*ocsp_response", "*not_after:moment", "*top_ca:boolean", "*path", "*authentication_only:boolean", "certificate_profile_info", "acme_capable:boolean"]),
    })
}
