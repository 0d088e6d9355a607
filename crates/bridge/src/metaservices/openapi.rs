//! An OpenAPI 3 description without the addresses of the information system: callers reach it through their node.
//!
//! Of every server only the path stays, also of those of single paths and operations, and of addresses with variables (X-Road leaves the
//! last two as they are). JSON is read and written; YAML keeps its text, comments and order, only the values of `url` change.

use serde_json::Value as Json;

/// A description as it may be given out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Anonymous {
    pub(super) text: String,
    pub(super) is_json: bool,
}

/// Why a description is not given out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DescriptionError {
    /// Swagger 2 and others.
    #[error("the description is none of OpenAPI 3")]
    Version,
    /// It starts like JSON and is none.
    #[error("the description is no JSON: {0}")]
    Json(String),
}

/// Takes the addresses out.
pub(super) fn anonymised(text: &str) -> Result<Anonymous, DescriptionError> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        let mut tree: Json = serde_json::from_str(text).map_err(|error| DescriptionError::Json(error.to_string()))?;
        check(tree.get("openapi").and_then(Json::as_str))?;
        strip(&mut tree);
        return Ok(Anonymous { text: tree.to_string(), is_json: true });
    }
    let version = text.lines().find_map(|line| line.strip_prefix("openapi:"));
    check(version.map(|version| version.trim().trim_matches(['"', '\''])))?;
    Ok(Anonymous { text: yaml(text), is_json: false })
}

fn check(version: Option<&str>) -> Result<(), DescriptionError> {
    if version.is_some_and(|version| !version.starts_with("3.")) { Err(DescriptionError::Version) } else { Ok(()) }
}

fn strip(node: &mut Json) {
    match node {
        Json::Object(members) => {
            if let Some(Json::Array(servers)) = members.get_mut("servers") {
                for url in servers.iter_mut().filter_map(|server| server.get_mut("url")) {
                    if let Some(path) = url.as_str().map(path_of) {
                        *url = Json::String(path);
                    }
                }
            }
            members.values_mut().for_each(strip);
        }
        Json::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The path of an address; the address itself where it is a path already.
fn path_of(url: &str) -> String {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest,
        None => match url.strip_prefix("//") {
            Some(rest) => rest,
            None => return url.to_owned(),
        },
    };
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    path.split(['?', '#']).next().unwrap_or("/").to_owned()
}

/// Changes the values of `url` in the blocks of `servers`, line by line.
fn yaml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let is_content = !bare.is_empty() && !bare.starts_with('#');
        let ends = |outer: usize| is_content && (indent < outer || (indent == outer && !bare.starts_with('-')));
        block = block.filter(|outer| !ends(*outer));
        if block.is_none() && is_servers(bare) {
            block = Some(indent);
        }
        if block.is_some() {
            out.push_str(&urls(line));
        } else {
            out.push_str(line);
        }
    }
    out
}

fn is_servers(bare: &str) -> bool {
    let key = bare.trim_start_matches("- ").trim_start_matches(['"', '\'', ' ']);
    let rest = key.strip_prefix("servers").map(|rest| rest.trim_start_matches(['"', '\'']).trim_start());
    rest.is_some_and(|rest| rest.starts_with(':'))
}

/// A line with the values of its `url` keys changed.
fn urls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("url") {
        let (before, found) = rest.split_at(at);
        let starts_word = !before.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '-');
        let after = found.get(3..).unwrap_or_default();
        let value = after.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':').map(str::trim_start);
        out.push_str(before);
        if let Some(value) = value.filter(|_| starts_word) {
            let (url, left) = scalar(value);
            out.push_str(found.get(..found.len() - value.len()).unwrap_or_default());
            out.push('"');
            out.push_str(&path_of(url).replace(['"', '\\'], ""));
            out.push('"');
            rest = left;
        } else {
            out.push_str("url");
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The text of a scalar at the start of the rest of a line, and what follows it.
fn scalar(value: &str) -> (&str, &str) {
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        let inner = value.get(1..).unwrap_or_default();
        return inner.split_once(quote).unwrap_or((inner, ""));
    }
    let comment = value.find(" #").unwrap_or(value.len());
    let line = value.find(['\r', '\n']).unwrap_or(value.len());
    let end = comment.min(line).min(flow_end(value));
    let url = value.get(..end).unwrap_or_default().trim_end();
    (url, value.get(url.len()..).unwrap_or_default())
}

/// Where a comma or brace ends a scalar of the flow style; a variable in braces is a part of it.
fn flow_end(value: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in value.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' | ']' => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_server_in_json_the_path_is_left_wherever_it_stands() {
        let text = r#"{"openapi":"3.0.1","servers":[{"url":"https://10.1.2.3:8443/v1?x=1"},{"url":"/plain"},
            {"url":"https://{host}.internal/{base}"},{"url":"http://only.internal"},{"url":"//x.internal/y"}],
            "paths":{"/a":{"servers":[{"url":"http://a.internal/b"}],"get":{"servers":[{"url":"http://c.internal/d"}]}}}}"#;
        let anonymous = anonymised(text).unwrap();
        assert!(anonymous.is_json && !anonymous.text.contains("internal") && !anonymous.text.contains("10.1.2.3"));
        let json: Json = serde_json::from_str(&anonymous.text).unwrap();
        let servers = json["servers"].as_array().unwrap();
        let urls: Vec<&str> = servers.iter().map(|server| server["url"].as_str().unwrap()).collect();
        assert_eq!(urls, ["/v1", "/plain", "/{base}", "/", "/y"]);
        assert_eq!(json["paths"]["/a"]["get"]["servers"][0]["url"], "/d");
    }

    #[test]
    fn yaml_keeps_everything_but_the_addresses() {
        let lines = [
            ("# a comment", "# a comment"),
            ("openapi: '3.0.0'", "openapi: '3.0.0'"),
            ("  title: the url: of servers", "  title: the url: of servers"),
            ("servers:", "servers:"),
            ("# here", "# here"),
            ("- url: http://a.internal/v1 # why", "- url: \"/v1\" # why"),
            ("  description: x", "  description: x"),
            ("- description: y", "- description: y"),
            ("  url: 'https://b.internal:8443'", "  url: \"/\""),
            ("paths:", "paths:"),
            ("    servers: [{url: http://{h}.internal/{v}, curl: z}]", "    servers: [{url: \"/{v}\", curl: z}]"),
            ("    get:", "    get:"),
            ("      servers:", "      servers:"),
            ("        - \"url\": \"http://d.internal/e\"", "        - \"url\": \"/e\""),
            ("      description: url: http://public/", "      description: url: http://public/"),
        ];
        let (text, expected): (Vec<&str>, Vec<&str>) = lines.into_iter().unzip();
        let anonymous = anonymised(&text.join("\n")).unwrap();
        assert_eq!(anonymous.text, expected.join("\n"));
        assert!(!anonymous.is_json);
    }

    #[test]
    fn what_is_no_openapi_3_is_not_given_out() {
        assert_eq!(anonymised(r#"{"openapi":"2.0"}"#), Err(DescriptionError::Version));
        assert_eq!(anonymised("openapi: \"2.1\"\n"), Err(DescriptionError::Version));
        assert!(matches!(anonymised("{"), Err(DescriptionError::Json(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_address_of_a_block_is_left(url in "https?://[a-z{}.:]{1,10}(/[a-z]{0,5})?", other in "[ -~\\n]{0,200}") {
            let _ = anonymised(&other);
            let given = anonymised(&format!("servers:\n  - url: \"{url}\"\n  - description: x\n    url: '{url}'\n")).unwrap();
            proptest::prop_assert!(!given.text.contains("://"), "{}", given.text);
        }
    }
}
