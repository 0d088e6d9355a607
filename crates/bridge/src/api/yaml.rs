//! YAML as JSON, for OpenAPI descriptions. Strangers' files: no aliases (they grow without end), a limit on depth and on nodes.

use serde_json::{Map, Value as Json};
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

const DEPTH_MAX: usize = 128;
const NODES_MAX: usize = 500_000;

/// A collection that is being read.
enum Open {
    List(Vec<Json>),
    Map(Map<String, Json>, Option<String>),
}

/// Reads the first document of a YAML (or JSON) text; says why it cannot.
pub(super) fn read(text: &str) -> Result<Json, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let mut parser = Parser::new_from_str(text);
    let mut stack: Vec<Open> = Vec::new();
    for _ in 0..NODES_MAX {
        let (event, marker) = parser.next_token().map_err(|error| error.to_string())?;
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart => continue,
            Event::StreamEnd | Event::DocumentEnd => return Err("it is empty".to_owned()),
            Event::Alias(_) => return Err(format!("line {}: aliases are not read; write it out", marker.line())),
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map(Map::new(), None));
                None
            }
            Event::Scalar(text, style, ..) => Some(scalar(text, style)),
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::List(list)) => Some(Json::Array(list)),
                Some(Open::Map(map, _)) => Some(Json::Object(map)),
                None => None,
            },
        };
        if stack.len() > DEPTH_MAX {
            return Err(format!("it is deeper than {DEPTH_MAX} levels"));
        }
        let Some(value) = done else { continue };
        match stack.last_mut() {
            None => return Ok(value),
            Some(Open::List(list)) => list.push(value),
            Some(Open::Map(map, key)) => match key.take() {
                Some(key) => {
                    map.insert(key, value);
                }
                None => *key = Some(key_of(value)),
            },
        }
    }
    Err(format!("it has more than {NODES_MAX} parts"))
}

fn key_of(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

fn scalar(text: String, style: TScalarStyle) -> Json {
    if style != TScalarStyle::Plain {
        return Json::String(text);
    }
    match text.as_str() {
        "" | "~" | "null" => Json::Null,
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ => text.parse::<i64>().map_or(Json::String(text), Json::from),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_is_read_as_its_json_would_be() {
        let text = "openapi: 3.0.3\ninfo: {title: \"Pets\", version: '1'}\npaths:\n  /pets/{id}:\n    get: {}\n    x: [1, true, ~]\n";
        let expected = json!({
            "openapi": "3.0.3",
            "info": { "title": "Pets", "version": "1" },
            "paths": { "/pets/{id}": { "get": {}, "x": [1, true, null] } },
        });
        assert_eq!(read(text), Ok(expected.clone()));
        assert_eq!(read(&expected.to_string()), Ok(expected));
    }

    #[test]
    fn what_grows_or_digs_without_end_is_refused() {
        assert!(read("a: &x [1]\nb: *x").unwrap_err().contains("aliases"));
        assert!(read(&"[".repeat(1_000)).is_err());
        assert!(read(&format!("{{\"a\":{}", "[".repeat(1_000))).is_err());
        assert!(read("").is_err() && read("a: [").is_err());
    }
}
