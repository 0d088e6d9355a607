//! A small read-only document tree with namespaces, made for signed XML.
//!
//! [`Document::parse`] is strict on purpose: what two readers could understand differently is refused. No document type
//! declaration, no entities but the five of XML 1.0 §4.6 and character references, UTF-8 only, names and prefixes
//! checked, duplicate attributes refused (Namespaces in XML §6.3), and [`Limits`] on bytes, depth, nodes, attributes and
//! namespaces. A tolerant tokenizer would accept more than this and leave the difference to an attacker, so the reader
//! is our own. Text and names borrow from the input where they stand there as they are.
//!
//! ```
//! use trust::xml::{Document, Limits};
//!
//! let document = Document::parse(b"<a xmlns='urn:x'><b n='1'>caf\xc3\xa9 &amp; th\xc3\xa9</b></a>", &Limits::SMALL).unwrap();
//! let b = document.root().child("urn:x", "b").unwrap();
//! assert_eq!(b.attribute("n"), Some("1"));
//! assert_eq!(b.text(), "café & thé");
//! ```

mod parser;

use std::borrow::Cow;
use std::ops::Range;

/// The namespace that the prefix `xml` always stands for (Namespaces in XML §3).
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// What a document may be at most. More is refused, whoever sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the input in bytes.
    pub bytes_max: usize,
    /// Elements inside elements; the root counts as one.
    pub depth_max: usize,
    /// Elements, texts, comments and processing instructions together.
    pub nodes_max: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes_max: usize,
    /// Different namespaces of one document.
    pub namespaces_max: usize,
}

impl Limits {
    /// For signatures, hash chains and manifests: 1 MiB.
    pub const SMALL: Self =
        Self { bytes_max: 1 << 20, depth_max: 64, nodes_max: 20_000, attributes_max: 64, namespaces_max: 64 };
    /// For messages and configurations of a whole federation: 16 MiB.
    pub const LARGE: Self =
        Self { bytes_max: 16 << 20, depth_max: 64, nodes_max: 2_000_000, attributes_max: 256, namespaces_max: 256 };
}

/// Why a text is not XML that this house reads. `at` is the offset in bytes from the start of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not UTF-8 (the only encoding read).
    #[error("the XML is not UTF-8 at byte {at}: write it in UTF-8")]
    NotUtf8 {
        /// Where.
        at: usize,
    },
    /// The XML declaration names another encoding or version.
    #[error("the XML declaration asks for {found}; only version 1.0 in UTF-8 is read")]
    Declaration {
        /// What it asks for, cut to 64 characters.
        found: String,
    },
    /// A document type declaration: refused, it can define entities and default attributes.
    #[error("the XML has a DOCTYPE at byte {at}; remove it, document type declarations are refused")]
    Doctype {
        /// Where.
        at: usize,
    },
    /// An entity other than `amp lt gt quot apos`, or a broken character reference.
    #[error("the reference `&{name};` at byte {at} is not one of amp, lt, gt, quot, apos or a character of XML")]
    Reference {
        /// Its name, cut to 64 characters.
        name: String,
        /// Where.
        at: usize,
    },
    /// A character that XML 1.0 §2.2 excludes.
    #[error("a character at byte {at} is not allowed in XML 1.0")]
    Character {
        /// Where.
        at: usize,
    },
    /// A name that is no qualified name, or a prefix that nothing binds.
    #[error("`{name}` at byte {at}: {reason}")]
    Name {
        /// The name, cut to 64 characters.
        name: String,
        /// Where.
        at: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The same attribute twice on one element.
    #[error("the attribute `{name}` stands twice on the element at byte {at}")]
    DuplicateAttribute {
        /// Its name, cut to 64 characters.
        name: String,
        /// Where.
        at: usize,
    },
    /// An end tag that closes another element than the one that is open.
    #[error("the end tag `{found}` at byte {at} does not close the element `{open}`")]
    EndTag {
        /// The name of the open element.
        open: String,
        /// The name in the end tag.
        found: String,
        /// Where.
        at: usize,
    },
    /// Anything else that is not well-formed.
    #[error("not well-formed XML at byte {at}: {reason}")]
    Malformed {
        /// Where.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// More than the [`Limits`] allow.
    #[error("the XML has more than {max} {what}: refused")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
    },
}

/// A well-formed document. It borrows from the bytes that it was read from.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
    elements: Vec<ElementData<'a>>,
    attributes: Vec<AttributeData<'a>>,
    declarations: Vec<Declaration<'a>>,
    namespaces: Vec<Cow<'a, str>>,
    root: u32,
    first: u32,
}

/// One element of a [`Document`]; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Element<'d, 'a> {
    document: &'d Document<'a>,
    node: u32,
    data: &'d ElementData<'a>,
}

/// What stands inside an element, in order.
#[derive(Clone, Copy, Debug)]
pub enum Child<'d, 'a> {
    /// An element.
    Element(Element<'d, 'a>),
    /// Character data, references replaced; adjacent pieces may follow one another.
    Text(&'d str),
    /// A comment, without its marks.
    Comment(&'d str),
    /// A processing instruction.
    Instruction {
        /// The name of whom it is for.
        target: &'d str,
        /// The rest, leading white space removed.
        data: &'d str,
    },
}

/// An attribute that is no namespace declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'d> {
    /// The prefix as written; empty where there is none.
    pub prefix: &'d str,
    /// The local name.
    pub local: &'d str,
    /// The namespace; empty for an attribute without prefix.
    pub namespace: &'d str,
    /// The value, normalised as XML 1.0 §3.3.3 says.
    pub value: &'d str,
}

const NONE: u32 = u32::MAX;
const NO_NAMESPACE: u32 = 0;

#[derive(Debug)]
struct Node<'a> {
    parent: u32,
    next: u32,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Element(u32),
    Text(Cow<'a, str>),
    Comment(Cow<'a, str>),
    Instruction { target: &'a str, data: Cow<'a, str> },
}

#[derive(Debug)]
struct ElementData<'a> {
    prefix: &'a str,
    local: &'a str,
    namespace: u32,
    attributes: (u32, u32),
    declarations: (u32, u32),
    first_child: u32,
    /// Where it stands in the input: from its `<` to behind its last `>`.
    span: (u32, u32),
}

#[derive(Debug)]
struct AttributeData<'a> {
    prefix: &'a str,
    local: &'a str,
    namespace: u32,
    value: Cow<'a, str>,
    /// Where the value stands in the input, quotes left out.
    span: (u32, u32),
}

/// `xmlns="…"` (empty prefix) or `xmlns:prefix="…"`.
#[derive(Debug, Clone, Copy)]
struct Declaration<'a> {
    prefix: &'a str,
    namespace: u32,
}

impl<'a> Document<'a> {
    /// Reads a document.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, XmlError> {
        parser::parse(bytes, limits)
    }

    /// The one element that holds all others.
    pub fn root(&self) -> Element<'_, 'a> {
        // The parser never returns a document without a root element.
        self.element(self.root).unwrap_or(Element { document: self, node: self.root, data: &NOTHING })
    }

    /// What stands at the top: the root element, and comments and instructions around it.
    pub fn children(&self) -> Children<'_, 'a> {
        Children { document: self, next: self.first }
    }

    fn element(&self, node: u32) -> Option<Element<'_, 'a>> {
        match self.nodes.get(node as usize)?.content {
            Content::Element(index) => Some(Element { document: self, node, data: self.elements.get(index as usize)? }),
            _ => None,
        }
    }

    fn namespace(&self, index: u32) -> &str {
        self.namespaces.get(index as usize).map_or("", AsRef::as_ref)
    }
}

static NOTHING: ElementData<'static> = ElementData {
    prefix: "",
    local: "",
    namespace: NO_NAMESPACE,
    attributes: (0, 0),
    declarations: (0, 0),
    first_child: NONE,
    span: (0, 0),
};

impl<'d, 'a> Element<'d, 'a> {
    /// The name without its prefix.
    pub fn local(&self) -> &'d str {
        self.data.local
    }

    /// The prefix as written; empty where there is none.
    pub fn prefix(&self) -> &'d str {
        self.data.prefix
    }

    /// The namespace; empty where there is none.
    pub fn namespace(&self) -> &'d str {
        self.document.namespace(self.data.namespace)
    }

    /// Whether the element has this expanded name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.data.local == local && self.namespace() == namespace
    }

    /// The value of an attribute without prefix.
    pub fn attribute(&self, local: &str) -> Option<&'d str> {
        self.attribute_of("", local)
    }

    /// The value of an attribute in a namespace.
    pub fn attribute_of(&self, namespace: &str, local: &str) -> Option<&'d str> {
        self.attributes()
            .find(|attribute| attribute.local == local && attribute.namespace == namespace)
            .map(|attribute| attribute.value)
    }

    /// The attributes, namespace declarations left out, in the order of the text.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'d>> + use<'d, 'a> {
        let document = self.document;
        slice(&document.attributes, self.data.attributes).iter().map(|data| Attribute {
            prefix: data.prefix,
            local: data.local,
            namespace: document.namespace(data.namespace),
            value: &data.value,
        })
    }

    /// The bytes of the input that the element takes, from its `<` to behind its last `>`: who changes a text without writing
    /// it anew cuts here.
    pub fn span(&self) -> Range<usize> {
        self.data.span.0 as usize..self.data.span.1 as usize
    }

    /// The bytes of the input that the value of an attribute without prefix takes, quotes left out.
    pub fn attribute_span(&self, local: &str) -> Option<Range<usize>> {
        let attributes = slice(&self.document.attributes, self.data.attributes);
        let found = attributes.iter().find(|data| data.local == local && data.namespace == NO_NAMESPACE)?;
        Some(found.span.0 as usize..found.span.1 as usize)
    }

    /// The namespace declarations of this very element: (prefix, namespace), prefix empty for the default namespace.
    pub fn declarations(&self) -> impl Iterator<Item = (&'d str, &'d str)> + use<'d, 'a> {
        let document = self.document;
        slice(&document.declarations, self.data.declarations)
            .iter()
            .map(|declaration| (declaration.prefix, document.namespace(declaration.namespace)))
    }

    /// What stands inside, in order.
    pub fn children(&self) -> Children<'d, 'a> {
        Children { document: self.document, next: self.data.first_child }
    }

    /// The elements inside, one level down, in order.
    pub fn elements(&self) -> impl Iterator<Item = Element<'d, 'a>> + use<'d, 'a> {
        self.children().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            _ => None,
        })
    }

    /// The first element inside with this expanded name, one level down.
    pub fn child(&self, namespace: &str, local: &str) -> Option<Element<'d, 'a>> {
        self.elements().find(|element| element.is(namespace, local))
    }

    /// The elements inside with this local name, one level down, whatever their namespace.
    pub fn named<'n>(&self, local: &'n str) -> impl Iterator<Item = Element<'d, 'a>> + use<'d, 'a, 'n> {
        self.elements().filter(move |element| element.local() == local)
    }

    /// This element and everything below it, in document order.
    pub fn descendants(&self) -> Descendants<'d, 'a> {
        Descendants { open: vec![*self] }
    }

    /// The character data directly inside, comments and elements left out.
    pub fn text(&self) -> Cow<'d, str> {
        let mut text = Cow::Borrowed("");
        for child in self.children() {
            if let Child::Text(piece) = child {
                if text.is_empty() {
                    text = Cow::Borrowed(piece);
                } else {
                    text.to_mut().push_str(piece);
                }
            }
        }
        text
    }

    /// The element around this one; `None` for the root.
    pub fn parent(&self) -> Option<Element<'d, 'a>> {
        let parent = self.document.nodes.get(self.node as usize)?.parent;
        self.document.element(parent)
    }

    /// The document that it stands in.
    pub fn document(&self) -> &'d Document<'a> {
        self.document
    }
}

impl PartialEq for Element<'_, '_> {
    /// The same place in the same document.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.document, other.document) && self.node == other.node
    }
}

impl Eq for Element<'_, '_> {}

/// Iterator over what stands inside an element or at the top of a document.
#[derive(Clone, Debug)]
pub struct Children<'d, 'a> {
    document: &'d Document<'a>,
    next: u32,
}

impl<'d, 'a> Iterator for Children<'d, 'a> {
    type Item = Child<'d, 'a>;

    fn next(&mut self) -> Option<Child<'d, 'a>> {
        let node = self.document.nodes.get(self.next as usize)?;
        let this = std::mem::replace(&mut self.next, node.next);
        match &node.content {
            Content::Element(_) => self.document.element(this).map(Child::Element),
            Content::Text(text) => Some(Child::Text(text)),
            Content::Comment(text) => Some(Child::Comment(text)),
            Content::Instruction { target, data } => Some(Child::Instruction { target, data }),
        }
    }
}

/// Iterator over an element and all elements below it, in document order.
#[derive(Clone, Debug)]
pub struct Descendants<'d, 'a> {
    open: Vec<Element<'d, 'a>>,
}

impl<'d, 'a> Iterator for Descendants<'d, 'a> {
    type Item = Element<'d, 'a>;

    fn next(&mut self) -> Option<Element<'d, 'a>> {
        let element = self.open.pop()?;
        let start = self.open.len();
        self.open.extend(element.elements());
        if let Some(added) = self.open.get_mut(start..) {
            added.reverse();
        }
        Some(element)
    }
}

/// Character data as it must stand in an element (`&`, `<`, `>` and carriage return escaped): the canonical form.
pub fn escape_text(text: &str) -> Cow<'_, str> {
    escape(text, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    })
}

/// A value as it must stand between double quotes in an attribute: the canonical form.
pub fn escape_attribute(value: &str) -> Cow<'_, str> {
    escape(value, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    })
}

#[inline]
fn escape(text: &str, replacement: impl Fn(u8) -> Option<&'static str>) -> Cow<'_, str> {
    let Some(first) = text.bytes().position(|byte| replacement(byte).is_some()) else {
        return Cow::Borrowed(text);
    };
    let mut escaped = String::with_capacity(text.len() + 16);
    let (clean, rest) = text.split_at_checked(first).unwrap_or((text, ""));
    escaped.push_str(clean);
    for character in rest.chars() {
        // All replaced characters are ASCII, so a wider character never meets the table.
        match u8::try_from(character).ok().filter(u8::is_ascii).and_then(&replacement) {
            Some(replaced) => escaped.push_str(replaced),
            None => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

fn slice<T>(all: &[T], range: (u32, u32)) -> &[T] {
    all.get(range.0 as usize..range.1 as usize).unwrap_or_default()
}
