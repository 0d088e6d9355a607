//! Canonical XML: the bytes that are digested and signed.
//!
//! Canonical XML 1.0 (<http://www.w3.org/TR/2001/REC-xml-c14n-20010315>) and Exclusive XML Canonicalization 1.0
//! (<http://www.w3.org/2001/10/xml-exc-c14n#>), each with or without comments, of a whole document or of one element
//! with everything below it (the only document subsets that signatures of X-Road use). For a subset, inclusive
//! canonicalisation takes over the namespaces and `xml:` attributes of the elements around it; exclusive
//! canonicalisation takes only the namespaces that are visibly used.
//!
//! ```
//! use trust::c14n::{Method, element};
//! use trust::xml::{Document, Limits};
//!
//! let document = Document::parse(b"<p:a xmlns:p='urn:p' xmlns:q='urn:q'><p:b z='1' y='2'/></p:a>", &Limits::SMALL).unwrap();
//! let inner = document.root().child("urn:p", "b").unwrap();
//! assert_eq!(element(inner, Method::Exclusive, &[]), br#"<p:b xmlns:p="urn:p" y="2" z="1"></p:b>"#);
//! ```

use crate::xml::{Attribute, Child, Document, Element, XML_NAMESPACE};

/// A canonicalisation method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Canonical XML 1.0, comments left out: what X-Road 7 signs with.
    Inclusive,
    /// Canonical XML 1.0 with comments.
    InclusiveWithComments,
    /// Exclusive canonicalisation 1.0, comments left out: what X-Road 8 signs with.
    Exclusive,
    /// Exclusive canonicalisation 1.0 with comments.
    ExclusiveWithComments,
}

impl Method {
    const ALL: [Self; 4] = [Self::Inclusive, Self::InclusiveWithComments, Self::Exclusive, Self::ExclusiveWithComments];

    /// The identifier in XML signatures.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Inclusive => "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
            Self::InclusiveWithComments => "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
            Self::Exclusive => "http://www.w3.org/2001/10/xml-exc-c14n#",
            Self::ExclusiveWithComments => "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
        }
    }

    /// The method with this identifier; `None` where we know none.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.uri() == uri)
    }

    /// Whether only visibly used namespaces are written.
    pub const fn is_exclusive(self) -> bool {
        matches!(self, Self::Exclusive | Self::ExclusiveWithComments)
    }

    /// The same method without comments: what a reference to a part of the document (`#id`) selects.
    #[must_use]
    pub const fn without_comments(self) -> Self {
        match self {
            Self::Inclusive | Self::InclusiveWithComments => Self::Inclusive,
            Self::Exclusive | Self::ExclusiveWithComments => Self::Exclusive,
        }
    }

    const fn keeps_comments(self) -> bool {
        matches!(self, Self::InclusiveWithComments | Self::ExclusiveWithComments)
    }
}

/// The canonical form of a whole document.
pub fn document(document: &Document<'_>, method: Method) -> Vec<u8> {
    let mut writer = Writer::new(method, &[]);
    let mut after_root = false;
    for child in document.children() {
        let before = writer.out.len();
        match child {
            Child::Element(root) => {
                writer.element(root, true);
                after_root = true;
                continue;
            }
            Child::Comment(_) | Child::Instruction { .. } => writer.child(child),
            Child::Text(_) => {}
        }
        // A line end separates each piece from the root element (§2.3, processing instruction and comment nodes).
        if writer.out.len() > before {
            if after_root {
                writer.out.insert(before, b'\n');
            } else {
                writer.out.push(b'\n');
            }
        }
    }
    writer.out
}

/// The canonical form of one element with everything below it. `inclusive_prefixes` is the PrefixList of exclusive
/// canonicalisation (`#default` names the default namespace); it has no meaning for the inclusive methods.
pub fn element(element: Element<'_, '_>, method: Method, inclusive_prefixes: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new(method, inclusive_prefixes);
    writer.element(element, true);
    writer.out
}

struct Writer<'d> {
    method: Method,
    inclusive_prefixes: &'d [&'d str],
    out: Vec<u8>,
    /// Namespaces in scope, innermost last: for exclusive canonicalisation and for what the apex inherits.
    scope: Vec<(&'d str, &'d str)>,
    /// Namespaces as the output has declared them, innermost last.
    rendered: Vec<(&'d str, &'d str)>,
}

impl<'d> Writer<'d> {
    fn new(method: Method, inclusive_prefixes: &'d [&'d str]) -> Self {
        Self {
            method,
            inclusive_prefixes,
            out: Vec::with_capacity(4096),
            scope: Vec::with_capacity(8),
            rendered: Vec::with_capacity(8),
        }
    }

    /// The reader limits the depth, so the recursion is bounded.
    fn element(&mut self, element: Element<'d, '_>, apex: bool) {
        let (scope, rendered) = (self.scope.len(), self.rendered.len());
        if apex {
            self.scope_around(element);
        }
        self.scope.extend(element.declarations());
        let mut namespaces = self.namespaces(element, apex);
        namespaces.sort_unstable();
        let mut attributes: Vec<Attribute<'d>> = element.attributes().collect();
        if apex && !self.method.is_exclusive() {
            inherit_xml_attributes(element, &mut attributes);
        }
        attributes.sort_unstable_by_key(|attribute| (attribute.namespace, attribute.local));

        self.out.push(b'<');
        self.name(element.prefix(), element.local());
        for (prefix, namespace) in namespaces {
            self.out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
            self.out.extend_from_slice(prefix.as_bytes());
            self.value(namespace);
            self.rendered.push((prefix, namespace));
        }
        for attribute in attributes {
            self.out.push(b' ');
            self.name(attribute.prefix, attribute.local);
            self.value(attribute.value);
        }
        self.out.push(b'>');
        for child in element.children() {
            self.child(child);
        }
        self.out.extend_from_slice(b"</");
        self.name(element.prefix(), element.local());
        self.out.push(b'>');
        self.scope.truncate(scope);
        self.rendered.truncate(rendered);
    }

    fn child(&mut self, child: Child<'d, '_>) {
        match child {
            Child::Element(element) => self.element(element, false),
            Child::Text(text) => self.text(text),
            Child::Comment(text) if self.method.keeps_comments() => {
                self.out.extend_from_slice(b"<!--");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"-->");
            }
            Child::Comment(_) => {}
            Child::Instruction { target, data } => {
                self.out.extend_from_slice(b"<?");
                self.out.extend_from_slice(target.as_bytes());
                if !data.is_empty() {
                    self.out.push(b' ');
                    self.out.extend_from_slice(data.as_bytes());
                }
                self.out.extend_from_slice(b"?>");
            }
        }
    }

    /// The namespaces to declare on this element.
    fn namespaces(&self, element: Element<'d, '_>, apex: bool) -> Vec<(&'d str, &'d str)> {
        if !apex && !self.method.is_exclusive() && element.declarations().next().is_none() {
            return Vec::new();
        }
        let mut wanted: Vec<&'d str> = Vec::with_capacity(8);
        if self.method.is_exclusive() {
            wanted.push(element.prefix());
            wanted.extend(element.attributes().map(|attribute| attribute.prefix).filter(|prefix| !prefix.is_empty()));
            // Prefixes of the list follow the inclusive rules (Exclusive C14N §3, step 2).
            wanted.extend(self.inclusive_prefixes.iter().map(|prefix| if *prefix == "#default" { "" } else { prefix }));
        } else if apex {
            wanted.extend(self.scope.iter().map(|(prefix, _)| *prefix));
        } else {
            wanted.extend(element.declarations().map(|(prefix, _)| prefix));
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|prefix| *prefix != "xml");
        let bound = |bindings: &[(&'d str, &'d str)], wanted: &str| {
            bindings.iter().rev().find(|(prefix, _)| *prefix == wanted).map(|(_, namespace)| *namespace)
        };
        wanted
            .into_iter()
            .filter_map(|prefix| {
                let namespace = bound(&self.scope, prefix);
                let rendered = bound(&self.rendered, prefix);
                // `xmlns=""` is needed only below an output element that declared a default namespace.
                let namespace = if prefix.is_empty() { Some(namespace.unwrap_or("")) } else { namespace }?;
                (rendered.unwrap_or("") != namespace).then_some((prefix, namespace))
            })
            .collect()
    }

    /// The declarations of the elements around the apex, outermost first.
    fn scope_around(&mut self, element: Element<'d, '_>) {
        let mut around = Vec::new();
        let mut parent = element.parent();
        while let Some(ancestor) = parent {
            around.push(ancestor);
            parent = ancestor.parent();
        }
        for ancestor in around.into_iter().rev() {
            self.scope.extend(ancestor.declarations());
        }
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }

    fn value(&mut self, value: &str) {
        self.out.extend_from_slice(b"=\"");
        self.out.extend_from_slice(crate::xml::escape_attribute(value).as_bytes());
        self.out.push(b'"');
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(crate::xml::escape_text(text).as_bytes());
    }
}

/// The apex of a subset takes over the `xml:` attributes of the elements around it, nearest first (C14N 1.0 §2.4).
fn inherit_xml_attributes<'d>(element: Element<'d, '_>, attributes: &mut Vec<Attribute<'d>>) {
    let mut parent = element.parent();
    while let Some(ancestor) = parent {
        for inherited in ancestor.attributes().filter(|attribute| attribute.namespace == XML_NAMESPACE) {
            if !attributes.iter().any(|own| own.namespace == XML_NAMESPACE && own.local == inherited.local) {
                attributes.push(inherited);
            }
        }
        parent = ancestor.parent();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml::Limits;

    fn canonical(text: &str, method: Method) -> String {
        let parsed = Document::parse(text.as_bytes(), &Limits::SMALL).unwrap();
        String::from_utf8(document(&parsed, method)).unwrap()
    }

    fn subset(text: &str, name: &str, method: Method, prefixes: &[&str]) -> String {
        let parsed = Document::parse(text.as_bytes(), &Limits::SMALL).unwrap();
        let apex = parsed.root().descendants().find(|found| found.local() == name).unwrap();
        String::from_utf8(element(apex, method, prefixes)).unwrap()
    }

    #[test]
    fn instructions_and_comments_stand_apart_from_the_root() {
        // Canonical XML 1.0 §3.1.
        let text = "<?xml version=\"1.0\"?>\n\n<?xml-stylesheet   href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n\n\n<doc>Hello, world!<!-- Comment 1 --></doc>\n\n<?pi-without-data     ?>\n\n<!-- Comment 2 -->\n\n<!-- Comment 3 -->\n";
        assert_eq!(
            canonical(text, Method::Inclusive),
            "<?xml-stylesheet href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n<doc>Hello, world!</doc>\n<?pi-without-data?>"
        );
        assert_eq!(
            canonical(text, Method::InclusiveWithComments),
            "<?xml-stylesheet href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n<doc>Hello, world!<!-- Comment 1 --></doc>\n<?pi-without-data?>\n<!-- Comment 2 -->\n<!-- Comment 3 -->"
        );
    }

    #[test]
    fn declarations_and_attributes_are_sorted_and_not_repeated() {
        // After Canonical XML 1.0 §3.3.
        let text = "<doc><e1   /><e3   name = \"elem3\"   id=\"elem3\"   /><e5 a:attr=\"out\" b:attr=\"sorted\" attr2=\"all\" attr=\"I'm\"
          xmlns:b=\"http://www.ietf.org\" xmlns:a=\"http://www.w3.org\" xmlns=\"http://example.org\"/><e6 xmlns=\"\" xmlns:a=\"http://www.w3.org\"><e7 xmlns=\"http://www.ietf.org\"><e8 xmlns=\"\" xmlns:a=\"http://www.w3.org\"><e9 xmlns=\"\" xmlns:a=\"http://www.ietf.org\"/></e8></e7></e6></doc>";
        assert_eq!(
            canonical(text, Method::Inclusive),
            "<doc><e1></e1><e3 id=\"elem3\" name=\"elem3\"></e3><e5 xmlns=\"http://example.org\" xmlns:a=\"http://www.w3.org\" xmlns:b=\"http://www.ietf.org\" attr=\"I'm\" attr2=\"all\" b:attr=\"sorted\" a:attr=\"out\"></e5><e6 xmlns:a=\"http://www.w3.org\"><e7 xmlns=\"http://www.ietf.org\"><e8 xmlns=\"\"><e9 xmlns:a=\"http://www.ietf.org\"></e9></e8></e7></e6></doc>"
        );
    }

    #[test]
    fn characters_are_escaped_as_the_rules_say() {
        // After Canonical XML 1.0 §3.4.
        let text = "<doc><text>First line&#x0d;&#10;Second line</text><value>&#x32;</value><compute><![CDATA[value>\"0\" && value<\"10\" ?\"valid\":\"error\"]]></compute><norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/></doc>";
        assert_eq!(
            canonical(text, Method::Inclusive),
            "<doc><text>First line&#xD;\nSecond line</text><value>2</value><compute>value&gt;\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"</compute><norm attr=\" '    &#xD;&#xA;&#x9;   ' \"></norm></doc>"
        );
    }

    #[test]
    fn a_subset_inherits_its_surroundings_only_when_inclusive() {
        let text = "<n0:local xmlns:n0=\"foo:bar\" xmlns:n3=\"ftp://example.org\" xml:lang=\"fr\"><n1:elem2 xmlns:n1=\"http://example.net\"><n3:stuff xmlns:n3=\"ftp://example.org\"/></n1:elem2></n0:local>";
        assert_eq!(
            subset(text, "elem2", Method::Inclusive, &[]),
            "<n1:elem2 xmlns:n0=\"foo:bar\" xmlns:n1=\"http://example.net\" xmlns:n3=\"ftp://example.org\" xml:lang=\"fr\"><n3:stuff></n3:stuff></n1:elem2>"
        );
        assert_eq!(
            subset(text, "elem2", Method::Exclusive, &[]),
            "<n1:elem2 xmlns:n1=\"http://example.net\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>"
        );
        assert_eq!(
            subset(text, "elem2", Method::Exclusive, &["n0", "#default"]),
            "<n1:elem2 xmlns:n0=\"foo:bar\" xmlns:n1=\"http://example.net\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>"
        );
    }

    #[test]
    fn exclusive_declares_again_beside_and_undeclares_the_default() {
        let text = "<a xmlns=\"urn:a\" xmlns:p=\"urn:p\"><p:b/><p:c><d xmlns=\"\"/></p:c></a>";
        assert_eq!(
            canonical(text, Method::Exclusive),
            "<a xmlns=\"urn:a\"><p:b xmlns:p=\"urn:p\"></p:b><p:c xmlns:p=\"urn:p\"><d xmlns=\"\"></d></p:c></a>"
        );
    }

    #[test]
    fn identifiers_lead_back_to_the_method() {
        for method in Method::ALL {
            assert_eq!(Method::from_uri(method.uri()), Some(method));
        }
        assert_eq!(Method::from_uri("http://www.w3.org/2006/12/xml-c14n11"), None);
    }

    /// Any small tree: names and prefixes from a few, texts with everything that needs escaping.
    fn tree() -> impl Strategy<Value = String> {
        let leaf = "[ab&lt;]{0,0}".prop_flat_map(|_| "[a-c \n]{0,6}").boxed();
        leaf.prop_recursive(4, 24, 3, |inner| {
            (
                0_usize..3,
                0_usize..4,
                proptest::collection::vec(inner, 0..3),
                "(&amp;|&lt;|&#13;|x|\"|>){0,3}",
                "(&amp;|&quot;|&#9;|&#10;|y){0,3}",
            )
                .prop_map(|(name, declaration, children, text, value)| {
                    let name = ["a", "p:b", "q:c"][name];
                    let declaration =
                        ["", " xmlns=\"urn:d\"", " xmlns:p=\"urn:other\"", " xmlns=\"\" xmlns:q=\"urn:q2\""]
                            [declaration];
                    format!("<{name}{declaration} v=\"{value}\" p:w='1'>{}{text}</{name}>", children.concat())
                })
        })
        .prop_map(|inner| format!("<root xmlns:p=\"urn:p\" xmlns:q=\"urn:q\">{inner}</root>"))
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own_canonical_form(text in tree(), choice in 0_usize..4) {
            let method = Method::ALL[choice];
            let once = canonical(&text, method);
            prop_assert_eq!(canonical(&once, method), once);
        }
    }
}
