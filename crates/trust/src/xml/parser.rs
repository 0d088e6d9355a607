//! From bytes to the tree: one pass, no recursion.

use std::borrow::Cow;

use super::{
    AttributeData, Content, Declaration, Document, ElementData, Limits, NO_NAMESPACE, NONE, Node, XML_NAMESPACE,
    XmlError,
};

const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";
const XML_INDEX: u32 = 1;

pub(super) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Document<'a>, XmlError> {
    if bytes.len() > limits.bytes_max {
        return Err(XmlError::Limit { what: "bytes", max: limits.bytes_max });
    }
    let whole = std::str::from_utf8(bytes).map_err(|error| XmlError::NotUtf8 { at: error.valid_up_to() })?;
    check_characters(whole)?;
    let text = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    let mut parser = Parser {
        length: whole.len(),
        rest: text,
        limits: *limits,
        carriage_returns: text.as_bytes().contains(&b'\r'),
        document: Document {
            nodes: Vec::with_capacity(256),
            elements: Vec::with_capacity(128),
            attributes: Vec::with_capacity(64),
            declarations: Vec::with_capacity(8),
            namespaces: vec![Cow::Borrowed(""), Cow::Borrowed(XML_NAMESPACE)],
            root: NONE,
            first: NONE,
        },
        open: Vec::with_capacity(16),
        top_last: NONE,
        bindings: Vec::with_capacity(8),
    };
    parser.declaration()?;
    while !parser.rest.is_empty() {
        parser.step()?;
    }
    match parser.open.last() {
        Some(_) => Err(parser.malformed("the text ends inside an element")),
        None if parser.document.root == NONE => Err(parser.malformed("there is no element")),
        None => Ok(parser.document),
    }
}

/// The characters of XML 1.0 §2.2; surrogates cannot occur in UTF-8.
fn check_characters(text: &str) -> Result<(), XmlError> {
    if let Some(at) = text.bytes().position(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Err(XmlError::Character { at });
    }
    // U+FFFE and U+FFFF begin with the byte EF in UTF-8: most documents have none.
    if text.as_bytes().contains(&0xEF)
        && let Some(at) = text.find(['\u{FFFE}', '\u{FFFF}'])
    {
        return Err(XmlError::Character { at });
    }
    Ok(())
}

struct Parser<'a> {
    length: usize,
    rest: &'a str,
    limits: Limits,
    carriage_returns: bool,
    document: Document<'a>,
    open: Vec<Open<'a>>,
    top_last: u32,
    bindings: Vec<Declaration<'a>>,
}

/// An attribute or declaration as it stands in a start tag, references in its value replaced.
struct RawAttribute<'a> {
    name: &'a str,
    value: Cow<'a, str>,
    span: (u32, u32),
}

/// An element whose end tag has not come.
struct Open<'a> {
    node: u32,
    element: u32,
    last_child: u32,
    name: &'a str,
    bindings: usize,
}

impl<'a> Parser<'a> {
    fn at(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    fn malformed(&self, reason: &'static str) -> XmlError {
        XmlError::Malformed { at: self.at(), reason }
    }

    /// The XML declaration, where there is one.
    fn declaration(&mut self) -> Result<(), XmlError> {
        let Some(rest) = self.rest.strip_prefix("<?xml").filter(|rest| rest.starts_with(is_space)) else {
            return Ok(());
        };
        let (inside, after) =
            rest.split_once("?>").ok_or_else(|| self.malformed("the XML declaration does not end"))?;
        self.rest = after;
        let refused = |found: &str| XmlError::Declaration { found: cut(found) };
        let mut left = inside.trim_matches(is_space);
        let mut expected: &[&str] = &["version", "encoding", "standalone"];
        while !left.is_empty() {
            let (name, value) = left.split_once('=').ok_or_else(|| refused(inside))?;
            let name = name.trim_matches(is_space);
            let value = value.trim_start_matches(is_space);
            let quote =
                value.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or_else(|| refused(inside))?;
            let (value, after) =
                value.strip_prefix(quote).and_then(|value| value.split_once(quote)).ok_or_else(|| refused(inside))?;
            let place = expected.iter().position(|known| *known == name).ok_or_else(|| refused(inside))?;
            expected = expected.get(place + 1..).unwrap_or_default();
            let good = match name {
                "version" => value == "1.0",
                "encoding" => value.eq_ignore_ascii_case("utf-8"),
                _ => matches!(value, "yes" | "no"),
            };
            if !good || !after.is_empty() && !after.starts_with(is_space) {
                return Err(refused(inside));
            }
            left = after.trim_start_matches(is_space);
        }
        if inside.trim_start_matches(is_space).starts_with("version") { Ok(()) } else { Err(refused(inside)) }
    }

    /// One piece of content.
    fn step(&mut self) -> Result<(), XmlError> {
        let Some(markup) = self.rest.strip_prefix('<') else { return self.character_data() };
        match markup.as_bytes().first() {
            Some(b'/') => self.end_tag(markup),
            Some(b'!') => self.declaration_like(markup),
            Some(b'?') => self.instruction(markup),
            _ => self.start_tag(markup),
        }
    }

    fn character_data(&mut self) -> Result<(), XmlError> {
        let (raw, rest) = match self.rest.find('<') {
            Some(end) => self.rest.split_at_checked(end).unwrap_or((self.rest, "")),
            None => (self.rest, ""),
        };
        if self.open.is_empty() {
            if !raw.chars().all(is_space) {
                return Err(self.malformed("text stands outside the root element"));
            }
        } else {
            if raw.contains("]]>") {
                return Err(self.malformed("`]]>` stands in text; write `]]&gt;`"));
            }
            let text = self.unescaped(raw, false)?;
            self.add(Content::Text(text))?;
        }
        self.rest = rest;
        Ok(())
    }

    fn declaration_like(&mut self, markup: &'a str) -> Result<(), XmlError> {
        if let Some(comment) = markup.strip_prefix("!--") {
            let (text, rest) = comment.split_once("--").ok_or_else(|| self.malformed("the comment does not end"))?;
            let rest = rest.strip_prefix('>').ok_or_else(|| self.malformed("`--` stands inside a comment"))?;
            let text = self.lines(text);
            self.add(Content::Comment(text))?;
            self.rest = rest;
            return Ok(());
        }
        if let Some(data) = markup.strip_prefix("![CDATA[") {
            let (text, rest) =
                data.split_once("]]>").ok_or_else(|| self.malformed("the CDATA section does not end"))?;
            if self.open.is_empty() {
                return Err(self.malformed("text stands outside the root element"));
            }
            let text = self.lines(text);
            if !text.is_empty() {
                self.add(Content::Text(text))?;
            }
            self.rest = rest;
            return Ok(());
        }
        if markup.starts_with("!DOCTYPE") {
            return Err(XmlError::Doctype { at: self.at() });
        }
        Err(self.malformed("`<!` begins neither a comment nor a CDATA section"))
    }

    fn instruction(&mut self, markup: &'a str) -> Result<(), XmlError> {
        let inside = markup.strip_prefix('?').unwrap_or(markup);
        let (inside, rest) =
            inside.split_once("?>").ok_or_else(|| self.malformed("the processing instruction does not end"))?;
        let (target, data) = match inside.find(is_space) {
            Some(end) => inside.split_at_checked(end).unwrap_or((inside, "")),
            None => (inside, ""),
        };
        if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
            return Err(self.name_error(target, "it cannot name a processing instruction here"));
        }
        let data = self.lines(data.trim_start_matches(is_space));
        self.add(Content::Instruction { target, data })?;
        self.rest = rest;
        Ok(())
    }

    fn end_tag(&mut self, markup: &'a str) -> Result<(), XmlError> {
        let inside = markup.strip_prefix('/').unwrap_or(markup);
        let (name, rest) = inside.split_once('>').ok_or_else(|| self.malformed("the end tag does not end"))?;
        let name = name.trim_end_matches(is_space);
        let Some(open) = self.open.pop() else { return Err(self.malformed("an end tag without a start tag")) };
        if open.name != name {
            return Err(XmlError::EndTag { open: cut(open.name), found: cut(name), at: self.at() });
        }
        self.bindings.truncate(open.bindings);
        self.rest = rest;
        self.end_span(open.element);
        Ok(())
    }

    /// The element ends where the parser is.
    fn end_span(&mut self, element: u32) {
        let at = index(self.at());
        if let Some(element) = self.document.elements.get_mut(element as usize) {
            element.span.1 = at;
        }
    }

    fn start_tag(&mut self, markup: &'a str) -> Result<(), XmlError> {
        if self.open.is_empty() && self.document.root != NONE {
            return Err(self.malformed("there is a second root element"));
        }
        if self.open.len() >= self.limits.depth_max {
            return Err(XmlError::Limit { what: "levels of elements", max: self.limits.depth_max });
        }
        let end = markup
            .find(|character: char| is_space(character) || matches!(character, '>' | '/' | '<' | '=' | '"' | '\''))
            .ok_or_else(|| self.malformed("the start tag does not end"))?;
        let (name, mut rest) = markup.split_at_checked(end).unwrap_or((markup, ""));
        let bindings = self.bindings.len();
        let mut raw = Vec::new();
        let empty = loop {
            let trimmed = rest.trim_start_matches(is_space);
            if let Some(after) = trimmed.strip_prefix('>') {
                rest = after;
                break false;
            }
            if let Some(after) = trimmed.strip_prefix("/>") {
                rest = after;
                break true;
            }
            if trimmed.len() == rest.len() {
                return Err(self.malformed("white space is missing before an attribute, or the tag does not end"));
            }
            if raw.len() >= self.limits.attributes_max {
                return Err(XmlError::Limit { what: "attributes on one element", max: self.limits.attributes_max });
            }
            let (attribute, after) = self.raw_attribute(trimmed)?;
            raw.push(attribute);
            rest = after;
        };
        let (node, element) = self.element(name, raw)?;
        if empty {
            self.bindings.truncate(bindings);
        } else {
            self.open.push(Open { node, element, last_child: NONE, name, bindings });
        }
        self.rest = rest;
        if empty {
            self.end_span(element);
        }
        Ok(())
    }

    /// `name="value"` at the start of the text, and what follows.
    fn raw_attribute(&self, text: &'a str) -> Result<(RawAttribute<'a>, &'a str), XmlError> {
        let (name, after) = text.split_once('=').ok_or_else(|| self.malformed("an attribute has no value"))?;
        let name = name.trim_end_matches(is_space);
        let after = after.trim_start_matches(is_space);
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''));
        let (value, rest) = quote
            .and_then(|quote| after.strip_prefix(quote)?.split_once(quote))
            .ok_or_else(|| self.malformed("the value of an attribute does not stand between quotes"))?;
        if value.contains('<') {
            return Err(self.malformed("`<` stands in an attribute; write `&lt;`"));
        }
        let end = self.length.saturating_sub(rest.len() + 1);
        let span = (index(end.saturating_sub(value.len())), index(end));
        Ok((RawAttribute { name, value: self.unescaped(value, true)?, span }, rest))
    }

    /// Adds the element with its attributes; its declarations stay bound.
    fn element(&mut self, name: &'a str, raw: Vec<RawAttribute<'a>>) -> Result<(u32, u32), XmlError> {
        let declarations_from = index(self.document.declarations.len());
        let attributes_from = index(self.document.attributes.len());
        let mut attributes = Vec::with_capacity(raw.len());
        for attribute in raw {
            match attribute.name.strip_prefix("xmlns") {
                Some("") => self.declare("", attribute.value)?,
                Some(prefix) if prefix.starts_with(':') => {
                    self.declare(prefix.get(1..).unwrap_or(""), attribute.value)?;
                }
                _ => attributes.push(attribute),
            }
        }
        let declared = self.document.declarations.get(declarations_from as usize..).unwrap_or_default();
        for (place, declaration) in declared.iter().enumerate() {
            if declared.iter().skip(place + 1).any(|other| other.prefix == declaration.prefix) {
                return Err(XmlError::DuplicateAttribute { name: cut(declaration.prefix), at: self.at() });
            }
        }
        for RawAttribute { name, value, span } in attributes {
            let (prefix, local) = self.qualified(name)?;
            let namespace = if prefix.is_empty() { NO_NAMESPACE } else { self.resolve(prefix)? };
            let earlier = self.document.attributes.get(attributes_from as usize..).unwrap_or_default();
            if earlier.iter().any(|other| other.local == local && other.namespace == namespace) {
                return Err(XmlError::DuplicateAttribute { name: cut(name), at: self.at() });
            }
            self.document.attributes.push(AttributeData { prefix, local, namespace, value, span });
        }
        let (prefix, local) = self.qualified(name)?;
        let element = index(self.document.elements.len());
        let namespace = self.resolve(prefix)?;
        self.document.elements.push(ElementData {
            prefix,
            local,
            namespace,
            attributes: (attributes_from, index(self.document.attributes.len())),
            declarations: (declarations_from, index(self.document.declarations.len())),
            first_child: NONE,
            span: (index(self.at()), 0),
        });
        let node = self.add(Content::Element(element))?;
        if self.open.is_empty() {
            self.document.root = node;
        }
        Ok((node, element))
    }

    fn declare(&mut self, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), XmlError> {
        if !prefix.is_empty() && (!is_ncname(prefix) || uri.is_empty()) {
            return Err(self.name_error(prefix, "the prefix is no name, or is bound to no namespace"));
        }
        if prefix == "xmlns" || uri == XMLNS_NAMESPACE || (prefix == "xml") != (uri == XML_NAMESPACE) {
            return Err(self.name_error(prefix, "the prefixes xml and xmlns and their namespaces are reserved"));
        }
        let namespace = match self.document.namespaces.iter().position(|known| *known == uri) {
            Some(known) => index(known),
            None if self.document.namespaces.len() >= self.limits.namespaces_max => {
                return Err(XmlError::Limit { what: "namespaces", max: self.limits.namespaces_max });
            }
            None => {
                self.document.namespaces.push(uri);
                index(self.document.namespaces.len() - 1)
            }
        };
        let declaration = Declaration { prefix, namespace };
        self.document.declarations.push(declaration);
        self.bindings.push(declaration);
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<u32, XmlError> {
        match self.bindings.iter().rev().find(|binding| binding.prefix == prefix) {
            Some(binding) => Ok(binding.namespace),
            None if prefix.is_empty() => Ok(NO_NAMESPACE),
            None if prefix == "xml" => Ok(XML_INDEX),
            None => Err(self.name_error(prefix, "no namespace is declared for this prefix")),
        }
    }

    fn qualified(&self, name: &'a str) -> Result<(&'a str, &'a str), XmlError> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if !is_ncname(local) || name.contains(':') && !is_ncname(prefix) || prefix == "xmlns" {
            return Err(self.name_error(name, "it is no qualified name"));
        }
        Ok((prefix, local))
    }

    fn name_error(&self, name: &str, reason: &'static str) -> XmlError {
        XmlError::Name { name: cut(name), at: self.at(), reason }
    }

    fn add(&mut self, content: Content<'a>) -> Result<u32, XmlError> {
        if self.document.nodes.len() >= self.limits.nodes_max {
            return Err(XmlError::Limit { what: "nodes", max: self.limits.nodes_max });
        }
        let node = index(self.document.nodes.len());
        let parent = self.open.last().map_or(NONE, |open| open.node);
        self.document.nodes.push(Node { parent, next: NONE, content });
        let previous = if let Some(open) = self.open.last_mut() {
            if open.last_child == NONE
                && let Some(element) = self.document.elements.get_mut(open.element as usize)
            {
                element.first_child = node;
            }
            std::mem::replace(&mut open.last_child, node)
        } else {
            if self.top_last == NONE {
                self.document.first = node;
            }
            std::mem::replace(&mut self.top_last, node)
        };
        if let Some(previous) = self.document.nodes.get_mut(previous as usize) {
            previous.next = node;
        }
        Ok(node)
    }

    /// Line ends as XML 1.0 §2.11 wants them.
    fn lines(&self, raw: &'a str) -> Cow<'a, str> {
        if self.carriage_returns && raw.contains('\r') {
            Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            Cow::Borrowed(raw)
        }
    }

    /// References replaced and line ends normalised; in an attribute, white space becomes spaces (§3.3.3).
    fn unescaped(&self, raw: &'a str, attribute: bool) -> Result<Cow<'a, str>, XmlError> {
        let mut text = self.lines(raw);
        if attribute && text.contains(['\t', '\n']) {
            text = Cow::Owned(text.replace(['\t', '\n'], " "));
        }
        if !text.as_bytes().contains(&b'&') {
            return Ok(text);
        }
        let mut clean = String::with_capacity(text.len());
        let mut left: &str = &text;
        while let Some((before, reference)) = left.split_once('&') {
            clean.push_str(before);
            let wrong = |name: &str| XmlError::Reference { name: cut(name), at: self.at() };
            let (name, after) = reference.split_once(';').ok_or_else(|| wrong(reference))?;
            clean.push(referenced(name).ok_or_else(|| wrong(name))?);
            left = after;
        }
        clean.push_str(left);
        Ok(Cow::Owned(clean))
    }
}

/// The character that `&name;` stands for.
fn referenced(name: &str) -> Option<char> {
    let digits = match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |digits| (digits, 16));
    if digits.is_empty() || digits.len() > 8 || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let character = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    match character {
        '\t' | '\n' | '\r' => Some(character),
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => None,
        _ => Some(character),
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// A name without colon (Namespaces in XML, production 4).
fn is_ncname(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(|character| {
        is_name_start(character)
            || matches!(character, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
    })
}

fn is_name_start(character: char) -> bool {
    matches!(character,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// Counts are below the limit on nodes and attributes, far from 2^32.
fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Child, Document, Limits, XmlError};

    fn refused(text: &str) -> XmlError {
        Document::parse(text.as_bytes(), &Limits::SMALL).unwrap_err()
    }

    fn read(text: &str) -> Document<'_> {
        Document::parse(text.as_bytes(), &Limits::SMALL).unwrap()
    }

    #[test]
    fn names_take_the_namespace_in_scope() {
        let document = read("<a xmlns='urn:1' xmlns:p='urn:2'><b/><p:b p:x='1' x='2'/><b xmlns=''/></a>");
        let names: Vec<_> = document.root().elements().map(|element| (element.namespace(), element.local())).collect();
        assert_eq!(names, [("urn:1", "b"), ("urn:2", "b"), ("", "b")]);
        let b = document.root().child("urn:2", "b").unwrap();
        assert_eq!((b.attribute("x"), b.attribute_of("urn:2", "x")), (Some("2"), Some("1")));
        assert_eq!(b.parent(), Some(document.root()));
        assert_eq!(document.root().descendants().count(), 4);
    }

    #[test]
    fn an_element_and_a_value_know_their_bytes() {
        let text = "\u{feff}<?xml version='1.0'?><é x = 'a&amp;b'><b y=\"\"/> </é >";
        let document = read(text);
        let (root, b) = (document.root(), document.root().elements().next().unwrap());
        assert_eq!((&text[root.span()], &text[b.span()]), (&text[24..], "<b y=\"\"/>"));
        assert_eq!((&text[root.attribute_span("x").unwrap()], &text[b.attribute_span("y").unwrap()]), ("a&amp;b", ""));
    }

    #[test]
    fn references_lines_and_sections_become_text() {
        let document = read("<a v='x&#10;y\tz'>1\r\n2&lt;&#x43;<![CDATA[<&]]><!-- no -->3</a>");
        assert_eq!(document.root().text(), "1\n2<C<&3");
        assert_eq!(document.root().attribute("v"), Some("x\ny z"));
        assert!(document.root().children().any(|child| matches!(child, Child::Comment(" no "))));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        assert!(matches!(refused("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), XmlError::Doctype { .. }));
        assert!(matches!(refused("<a>&b;</a>"), XmlError::Reference { .. }));
        assert!(matches!(refused("<a>&#0;</a>"), XmlError::Reference { .. }));
        assert!(matches!(refused("<a>&#xFFFE;</a>"), XmlError::Reference { .. }));
        assert!(matches!(refused("<a>\u{1}</a>"), XmlError::Character { .. }));
        assert!(matches!(refused("<a x='1' x='2'/>"), XmlError::DuplicateAttribute { .. }));
        assert!(matches!(
            refused("<a xmlns:p='u:1' xmlns:q='u:1' p:x='1' q:x='2'/>"),
            XmlError::DuplicateAttribute { .. }
        ));
        assert!(matches!(refused("<a xmlns:p='u:1' xmlns:p='u:2'/>"), XmlError::DuplicateAttribute { .. }));
        assert!(matches!(refused("<p:a/>"), XmlError::Name { .. }));
        assert!(matches!(refused("<a:b:c xmlns:a='u:1'/>"), XmlError::Name { .. }));
        assert!(matches!(refused("<a xmlns:xml='u:1'/>"), XmlError::Name { .. }));
        assert!(matches!(refused("<a xmlns:p=''/>"), XmlError::Name { .. }));
        assert!(matches!(refused("<a></b>"), XmlError::EndTag { .. }));
        assert!(matches!(refused("<?xml version='1.1'?><a/>"), XmlError::Declaration { .. }));
        assert!(matches!(refused("<?xml version='1.0' encoding='latin1'?><a/>"), XmlError::Declaration { .. }));
        for text in
            ["", "text", "<a/><b/>", "<a>", "<a/>x", "<a x=1/>", "<a x='<'/>", "<a>]]></a>", "<a><!-- -- --></a>"]
        {
            assert!(matches!(refused(text), XmlError::Malformed { .. }), "{text}");
        }
        assert!(matches!(Document::parse(b"<a>\xff</a>", &Limits::SMALL), Err(XmlError::NotUtf8 { at: 3 })));
    }

    #[test]
    fn a_declaration_and_a_byte_order_mark_are_read_over() {
        assert_eq!(
            read("\u{feff}<?xml version=\"1.0\" encoding='utf-8' standalone=\"no\" ?>\n<a/>").root().local(),
            "a"
        );
    }

    #[test]
    fn size_and_depth_have_limits() {
        let deep = "<a>".repeat(65) + &"</a>".repeat(65);
        assert!(matches!(refused(&deep), XmlError::Limit { max: 64, .. }));
        let long = format!("<a>{}</a>", " ".repeat(1 << 20));
        assert!(matches!(refused(&long), XmlError::Limit { what: "bytes", .. }));
        let many = format!("<a>{}</a>", "<b/>".repeat(20_001));
        assert!(matches!(refused(&many), XmlError::Limit { what: "nodes", .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Document::parse(&bytes, &Limits::SMALL);
        }

        #[test]
        fn no_markup_makes_the_reader_panic(text in "[<>/a:xmlns='\"& ;#!\\[\\]?CDATA-]{0,120}") {
            let _ = Document::parse(text.as_bytes(), &Limits::SMALL);
        }
    }
}
