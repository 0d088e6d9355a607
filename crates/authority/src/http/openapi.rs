//! The description of the operators' API (OpenAPI 3.0.3), made from one table; a test compares it with the routes.

use serde_json::{Map, Value, json};

use crate::Role;

/// Method, path, role, what it does, body (a schema's name; `""` none, `xml` and `text` a text), answer (a schema's name).
type Operation = (&'static str, &'static str, Role, &'static str, &'static str, &'static str);

use Role::{Observer, RegistrationOfficer, SecurityOfficer, SystemAdministrator};

const OPERATIONS: &[Operation] = &[
    ("get", "/status", Observer, "How the authority stands", "", "Status"),
    ("get", "/requests", Observer, "Requests, newest first", "", "Requests"),
    ("post", "/requests", RegistrationOfficer, "Ask for something as the authority", "Wish", "Request"),
    ("get", "/requests/{id}", Observer, "A request", "", "Request"),
    ("post", "/requests/{id}/approve", RegistrationOfficer, "Say yes to a request", "", "Request"),
    ("post", "/requests/{id}/decline", RegistrationOfficer, "Say no to a request", "Decline", "Request"),
    ("get", "/members", Observer, "Members with their subsystems", "", "Members"),
    ("put", "/members/{id}", RegistrationOfficer, "Register a member or correct its name", "Named", ""),
    ("delete", "/members/{id}", RegistrationOfficer, "Remove a member", "", ""),
    ("put", "/subsystems/{id}", RegistrationOfficer, "Register a subsystem or correct its name", "Named", ""),
    ("delete", "/subsystems/{id}", RegistrationOfficer, "Remove a subsystem", "", ""),
    ("get", "/servers", Observer, "Nodes", "", "Servers"),
    ("delete", "/servers/{id}", RegistrationOfficer, "Remove a node", "", ""),
    ("put", "/servers/{id}/categories", RegistrationOfficer, "Set the categories of a node", "Codes", ""),
    ("get", "/groups", Observer, "Global groups with their members", "", "Groups"),
    ("put", "/groups/{code}", RegistrationOfficer, "Make a group or correct its description", "Described", ""),
    ("delete", "/groups/{code}", RegistrationOfficer, "Remove a group", "", ""),
    ("put", "/groups/{code}/members/{id}", RegistrationOfficer, "Add a client to a group", "", ""),
    ("delete", "/groups/{code}/members/{id}", RegistrationOfficer, "Take a client from a group", "", ""),
    ("get", "/member-classes", Observer, "Member classes", "", "Described list"),
    ("put", "/member-classes/{code}", SystemAdministrator, "Make a class or correct it", "Described", ""),
    ("delete", "/member-classes/{code}", SystemAdministrator, "Remove a class that nobody is in", "", ""),
    ("get", "/security-categories", Observer, "Security categories", "", "Described list"),
    ("put", "/security-categories/{code}", SystemAdministrator, "Make a category or correct it", "Described", ""),
    ("delete", "/security-categories/{code}", SystemAdministrator, "Remove a category", "", ""),
    ("get", "/approved-authorities", Observer, "Approved authorities beside our own", "", "Approvals"),
    ("post", "/approved-authorities", SecurityOfficer, "Approve an authority", "Approval", "Id"),
    ("delete", "/approved-authorities/{id}", SecurityOfficer, "Approve it no more", "", ""),
    ("get", "/federation", Observer, "Federated instances", "", "Federation"),
    ("post", "/federation", SecurityOfficer, "Federate with the instance of this anchor", "xml", "Id"),
    ("delete", "/federation/{instance}", SecurityOfficer, "End a federation", "", ""),
    ("get", "/logs", Observer, "Transparency logs with witnesses and quorum", "", "Logs"),
    ("post", "/logs", SecurityOfficer, "Name the logs of this policy, or change their quorum", "text", "Logs"),
    ("delete", "/logs/{origin}", SecurityOfficer, "Rely on a log no more", "", ""),
    ("post", "/certificates", RegistrationOfficer, "Issue a certificate to a node", "SignRequest", "Certificate"),
    ("delete", "/certificates/{serial}", SecurityOfficer, "Revoke a certificate for good", "", ""),
    ("get", "/signing-keys", Observer, "Keys that may sign the configuration", "", "SigningKeys"),
    ("post", "/signing-keys/{number}/activate", SecurityOfficer, "Let an announced key sign", "", ""),
    ("delete", "/signing-keys/{number}", SecurityOfficer, "Destroy a key that does not sign", "", ""),
    ("post", "/keys/{use}", SecurityOfficer, "Make the next generation of a key", "", ""),
    ("get", "/api-keys", SystemAdministrator, "Keys of operators", "", "ApiKeys"),
    ("post", "/api-keys", SystemAdministrator, "Make a key for an operator", "NewKey", "ApiKey"),
    ("delete", "/api-keys/{id}", SystemAdministrator, "Take a key back", "", ""),
    ("get", "/audit", Observer, "Who did what, newest first", "", "Audit"),
    ("get", "/audit/{id}/proof", Observer, "The proof of an act from the log", "", ""),
];

/// The description, OpenAPI 3.0.3.
pub(super) fn description() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let (method, path, ..) = *operation;
        let item = paths.entry(format!("/api/v1{path}")).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.to_owned(), described(operation));
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Baobab: the governing authority", "version": "1"},
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {
                "type": "apiKey", "in": "header", "name": "Authorization",
                "description": "X-Road-ApiKey token=KEY",
            }},
            "schemas": schemas(),
        },
    })
}

fn described((method, path, role, summary, body, answer): &Operation) -> Value {
    let problem = |text: &str| {
        json!({
            "description": text,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        })
    };
    let mut responses = Map::new();
    if answer.is_empty() {
        responses.insert("204".to_owned(), json!({"description": "Done"}));
    } else {
        responses.insert(
            "200".to_owned(),
            json!({
                "description": summary, "content": {"application/json": {"schema": reference(answer)}},
            }),
        );
    }
    for (status, text) in [
        ("400", "The request is not as described"),
        ("401", "No key, or one that is not in force"),
        ("403", "The key has another role"),
        ("404", "Nothing of that name"),
        ("409", "The state does not allow it"),
    ] {
        responses.insert(status.to_owned(), problem(text));
    }
    let mut operation = json!({
        "summary": summary,
        "description": format!("Needs the role {}.", role.name()),
        "operationId": format!("{method}{}", path.replace(['/', '{', '}', '-'], "_")),
        "parameters": parameters(path),
        "responses": responses,
    });
    if let Some(operation) = operation.as_object_mut().filter(|_| !body.is_empty()) {
        let content = match *body {
            "xml" => json!({"text/xml": {"schema": {"type": "string"}}}),
            "text" => json!({"text/plain": {"schema": {"type": "string"}}}),
            body => json!({"application/json": {"schema": reference(body)}}),
        };
        operation.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    operation
}

fn parameters(path: &str) -> Vec<Value> {
    let mut found: Vec<Value> = path
        .split('/')
        .filter_map(|piece| piece.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let number =
                name == "number" || (name == "id" && (path.starts_with("/requests") || path.starts_with("/audit")));
            let schema = if number { json!({"type": "integer", "minimum": 1}) } else { json!({"type": "string"}) };
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect();
    let query = |name: &str, schema: Value| json!({"name": name, "in": "query", "required": false, "schema": schema});
    if path == "/requests" {
        let states = crate::RequestState::ALL.map(crate::RequestState::name);
        found.push(query("state", json!({"type": "string", "enum": states})));
    }
    if path == "/requests" || path == "/audit" {
        found.push(query("before", json!({"type": "integer"})));
    }
    found
}

fn reference(name: &str) -> Value {
    let text = || json!({"type": "string"});
    match name {
        "Codes" => json!({"type": "array", "items": text()}),
        "Described list" => json!({"type": "array", "items": {"$ref": "#/components/schemas/Described"}}),
        "Requests" | "Members" | "Servers" | "Groups" | "Approvals" | "Federation" | "SigningKeys" | "ApiKeys"
        | "Audit" | "Logs" => json!({"type": "array", "items": {"type": "object"}}),
        name => json!({"$ref": format!("#/components/schemas/{name}")}),
    }
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let object = |needed: &[&str], properties: Value| {
        json!({
            "type": "object", "required": needed, "properties": properties,
        })
    };
    let roles = json!({"type": "array", "minItems": 1, "items": {"type": "string", "enum": Role::ALL.map(Role::name)}});
    json!({
        "Problem": object(&["title"], json!({"type": text(), "title": text(), "detail": text()})),
        "Status": object(&["instance"], json!({
            "instance": text(), "configuration_expires": text(), "members": {"type": "integer"},
            "servers": {"type": "integer"}, "pending_requests": {"type": "integer"},
        })),
        "Request": object(&["id", "kind", "origin", "state", "server"], json!({
            "id": {"type": "integer"}, "kind": text(), "origin": text(), "state": text(), "server": text(),
        })),
        "Wish": object(&["kind", "server"], json!({
            "kind": {"type": "string", "enum": [
                "authCertReg", "clientReg", "clientDeletion", "ownerChange", "addressChange", "clientDisable",
                "clientEnable", "maintenanceModeEnable", "maintenanceModeDisable",
            ]},
            "server": text(), "client": text(), "address": text(), "subsystem_name": text(), "message": text(),
            "certificate_pem": text(),
        })),
        "Decline": object(&["reason"], json!({"reason": text()})),
        "Named": object(&[], json!({"name": text()})),
        "Described": object(&["description"], json!({"code": text(), "description": text()})),
        "Approval": object(&["kind", "name", "certificate"], json!({
            "kind": {"type": "string", "enum": ["ca", "tsa"]}, "name": text(), "certificate": text(), "url": text(),
            "cost": text(), "authentication_only": {"type": "boolean"}, "certificate_profile": text(),
            "profile": {"type": "object"}, "csr_format": text(), "acme_directory": text(),
            "ocsp": {"type": "array", "items": {"type": "object"}},
            "intermediates": {"type": "array", "items": {"type": "object"}},
        })),
        "Id": object(&[], json!({"id": text(), "instance": text()})),
        "SignRequest": object(&["certificate_use", "server", "member", "request_pem"], json!({
            "certificate_use": {"type": "string", "enum": ["sign", "auth"]}, "server": text(), "member": text(),
            "request_pem": text(),
        })),
        "Certificate": object(&["certificate_pem", "serial"], json!({"certificate_pem": text(), "serial": text()})),
        "NewKey": object(&["label", "roles"], json!({"label": text(), "roles": roles.clone()})),
        "ApiKey": object(&["id", "token"], json!({"id": text(), "label": text(), "roles": roles, "token": text()})),
    })
}
