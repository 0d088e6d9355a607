use serde_json::{Map, Value as Json, json};

use super::BASE;
use super::schema;
use super::table::{Answer, BodyKind, Operation};

/// The OpenAPI 3 description of the table.
pub(super) fn description(operations: &[Operation]) -> Json {
    let mut paths: Map<String, Json> = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_ascii_lowercase(), one(operation));
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Management API of a Baobab node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The operations of X-Road's Security Server Admin API that this node has, with the same paths, names and JSON.",
        },
        "servers": [{ "url": BASE }],
        "security": [{ "ApiKeyAuth": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "ApiKeyAuth": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "X-Road-ApiKey token=KEY",
                },
            },
            "schemas": schema::components(),
        },
    })
}

fn one(operation: &Operation) -> Json {
    let in_path = parameters_of(operation.path).map(
        |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }),
    );
    let in_query = operation.query.iter().map(|name| {
        let required = schema::is_required(operation.id, name);
        json!({ "name": name, "in": "query", "required": required, "schema": schema::of_query(name) })
    });
    let parameters: Vec<Json> = in_path.chain(in_query).collect();
    let roles: Vec<&str> = operation.roles.iter().map(|role| role.word()).collect();
    let mut described = json!({
        "operationId": operation.id,
        "description": format!("For keys with any of the roles {}.", roles.join(", ")),
        "x-roles": roles,
        "parameters": parameters,
        "responses": responses(operation),
    });
    let body = match operation.body {
        BodyKind::None => None,
        BodyKind::Json(name) => Some(
            json!({ "required": !schema::is_optional(name), "content": { "application/json": { "schema": schema::reference(name) } } }),
        ),
        BodyKind::Bytes => Some(json!({
            "required": true,
            "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
        })),
    };
    if let (Some(described), Some(body)) = (described.as_object_mut(), body) {
        described.insert("requestBody".to_owned(), body);
    }
    described
}

fn responses(operation: &Operation) -> Json {
    let mut responses = Map::new();
    let (status, content) = match operation.answer {
        Answer::Nothing => ("204".to_owned(), None),
        Answer::Accepted => ("202".to_owned(), None),
        Answer::Json(status, name) => {
            (status.to_string(), Some(json!({ "application/json": { "schema": schema::reference(name) } })))
        }
        Answer::File(content_type) => {
            let mut content = Map::new();
            content.insert(content_type.to_owned(), json!({ "schema": { "type": "string", "format": "binary" } }));
            ("200".to_owned(), Some(Json::Object(content)))
        }
    };
    let mut good = json!({ "description": "done" });
    if let (Some(good), Some(content)) = (good.as_object_mut(), content) {
        good.insert("content".to_owned(), content);
    }
    responses.insert(status, good);
    let error = json!({ "application/json": { "schema": schema::reference("ErrorInfo") } });
    for (status, what) in [
        ("400", "the call is not understood, or has warnings"),
        ("401", "no known key"),
        ("403", "the key lacks the role"),
        ("404", "there is no such thing"),
        ("409", "it contradicts what is there"),
        ("413", "the body is too large"),
        ("415", "the body is no JSON"),
        ("429", "too many calls"),
        ("503", "the node has no global configuration"),
    ] {
        responses.insert(status.to_owned(), json!({ "description": what, "content": error }));
    }
    Json::Object(responses)
}

fn parameters_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}
