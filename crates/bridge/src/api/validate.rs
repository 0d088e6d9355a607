//! The description of the API is its law: what a call brings is compared with it before the operation begins.
//!
//! Members of objects that are `null` count as absent: clients that were generated from X-Road's description send them.

use bytes::Bytes;
use civic::Timestamp;
use serde_json::Value as Json;

use super::call::{Result, shorten};
use super::error::ApiError;
use super::schema::{self, PRINTABLE};
use super::table::{BodyKind, Operation};

/// Deeper bodies than this are refused; the deepest of ours has six levels.
const DEPTH_MAX: usize = 32;

/// Compares the query with the description.
pub(super) fn query(operation: &Operation, query: &[(String, String)]) -> Result<()> {
    for name in operation.query {
        let mut values = query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(ApiError::bad(format!("{name} stands twice")));
        }
        match value {
            None if schema::is_required(operation.id, name) => return Err(ApiError::bad(format!("name {name}"))),
            None => {}
            Some(value) => {
                let schema = schema::of_query(name);
                let fault = typed(&schema, value).map_or_else(
                    || Some("is of another type".to_owned()),
                    |value| fault(&schema, &Json::Null, &value, 0),
                );
                if let Some(fault) = fault {
                    return Err(ApiError::bad(format!("{name} {fault}")));
                }
            }
        }
    }
    Ok(())
}

/// The value of a query as its schema means it.
fn typed(schema: &Json, value: &str) -> Option<Json> {
    match schema.get("type").and_then(Json::as_str) {
        Some("boolean") => yes_or_no(value).map(Json::from),
        Some("integer") => value.parse::<i64>().ok().map(Json::from),
        _ => Some(Json::from(value)),
    }
}

/// As X-Road reads it: clients of some languages write `True`.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    text.to_ascii_lowercase().parse().ok()
}

/// Compares the body with the description; answers it without members that are `null`.
pub(super) fn body(operation: &Operation, schemas: &Json, body: Bytes) -> Result<Bytes> {
    let BodyKind::Json(name) = operation.body else { return Ok(body) };
    if body.is_empty() && schema::is_optional(name) {
        return Ok(body);
    }
    let refused = |what: String| ApiError::bad(format!("the body is not what the description says: {what}"));
    let mut value: Json = serde_json::from_slice(&body).map_err(|error| refused(error.to_string()))?;
    without_nulls(&mut value);
    match fault(&schema::reference(name), schemas, &value, 0) {
        Some(fault) => Err(refused(format!("it {fault}"))),
        None => Ok(value.to_string().into()),
    }
}

fn without_nulls(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Json::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// What of a value is not as its schema says; `None` where all is.
fn fault(schema: &Json, schemas: &Json, value: &Json, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return Some("is nested too deep".to_owned());
    }
    let inner = schema.pointer("/allOf/0").unwrap_or(schema);
    if let Some(name) = inner.get("$ref").and_then(Json::as_str) {
        let name = name.rsplit('/').next().unwrap_or_default();
        return schemas.get(name).and_then(|schema| fault(schema, schemas, value, depth + 1));
    }
    let fits = match schema.get("type").and_then(Json::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        return Some(format!("is no {}", schema.get("type").and_then(Json::as_str).unwrap_or_default()));
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array).filter(|words| !words.contains(value)) {
        let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
        return Some(format!("is none of {}", words.join(", ")));
    }
    match value {
        Json::String(text) => of_text(schema, text),
        Json::Number(_) => of_number(schema, value),
        Json::Array(items) => of_array(schema, schemas, items, depth),
        Json::Object(members) => of_object(schema, schemas, members, depth),
        _ => None,
    }
}

fn of_text(schema: &Json, text: &str) -> Option<String> {
    let number = |key: &str| schema.get(key).and_then(Json::as_u64);
    let chars = text.chars().count() as u64;
    if number("minLength").is_some_and(|min| chars < min) {
        return Some("is empty".to_owned());
    }
    if let Some(max) = number("maxLength").filter(|max| chars > *max) {
        return Some(format!("has more than {max} characters"));
    }
    if schema.get("pattern").and_then(Json::as_str) == Some(PRINTABLE) && text.chars().any(char::is_control) {
        return Some("holds control characters".to_owned());
    }
    let moment = schema.get("format").and_then(Json::as_str) == Some("date-time");
    (moment && Timestamp::parse_rfc3339(text).is_err()).then(|| "is no moment (RFC 3339)".to_owned())
}

fn of_number(schema: &Json, value: &Json) -> Option<String> {
    let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
    let value = value.as_i64()?;
    if let Some(min) = bound("minimum").filter(|min| value < *min) {
        return Some(format!("is less than {min}"));
    }
    bound("maximum").filter(|max| value > *max).map(|max| format!("is more than {max}"))
}

fn of_array(schema: &Json, schemas: &Json, items: &[Json], depth: usize) -> Option<String> {
    if schema.get("minItems").and_then(Json::as_u64).is_some_and(|min| (items.len() as u64) < min) {
        return Some("has no items".to_owned());
    }
    let of_items = schema.get("items")?;
    items
        .iter()
        .enumerate()
        .find_map(|(at, item)| fault(of_items, schemas, item, depth + 1).map(|fault| format!("at {at} {fault}")))
}

fn of_object(schema: &Json, schemas: &Json, members: &serde_json::Map<String, Json>, depth: usize) -> Option<String> {
    let required = schema.get("required").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let missing = required.iter().filter_map(Json::as_str).find(|name| !members.contains_key(*name));
    if let Some(missing) = missing {
        return Some(format!("lacks {missing}"));
    }
    members.iter().find_map(|(name, member)| {
        let known = schema.get("properties").and_then(|properties| properties.get(name));
        let of_member = known.or_else(|| schema.get("additionalProperties"))?;
        fault(of_member, schemas, member, depth + 1).map(|fault| format!("in {} {fault}", shorten(name)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(schema: &Json, value: &Json) -> Option<String> {
        fault(schema, &schema::components(), value, 0)
    }

    #[test]
    fn what_is_not_as_described_is_named() {
        let client = schema::reference("ClientAdd");
        let good = json!({ "client": { "member_class": "GOV", "member_code": "1" }, "unknown": 1 });
        assert_eq!(said(&client, &good), None);
        for (bad, word) in [
            (json!([]), "no object"),
            (json!({}), "lacks client"),
            (json!({ "client": { "member_class": "GOV" } }), "in client lacks member_code"),
            (json!({ "client": { "member_class": "", "member_code": "1" } }), "empty"),
            (json!({ "client": { "member_class": "a\u{1}", "member_code": "1" } }), "control"),
            (
                json!({ "client": { "member_class": "G", "member_code": "1", "connection_type": "FTP" } }),
                "none of HTTP",
            ),
            (json!({ "client": { "member_class": "G", "member_code": 1 } }), "no string"),
        ] {
            let found = said(&client, &bad).unwrap_or_default();
            assert!(found.contains(word), "{bad}: {found}");
        }
        assert!(said(&schema::reference("Members"), &json!({ "items": [] })).is_some());
        assert!(said(&schema::reference("[Role]"), &json!(["ROOT"])).is_some());
    }

    #[test]
    fn members_without_value_count_as_absent() {
        let mut value = json!({ "a": null, "b": { "c": null, "d": [{ "e": null }] } });
        without_nulls(&mut value);
        assert_eq!(value, json!({ "b": { "d": [{}] } }));
    }
}
