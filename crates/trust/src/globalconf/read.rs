//! Reading: one reader for versions 2 to 6, because each version only added optional elements. Elements may stand in any
//! order; unknown ones are passed over, so that a newer peer does not stop an older node.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{ClientId, IdError, MemberId, Timestamp};

use super::values::{
    AcmeServer, Anchor, AnchorSource, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, CostType, CsrFormat,
    GlobalGroup, ManagementService, Member, MemberClass, OcspInfo, PrivateParams, SecurityServer, SharedParams,
    Subsystem,
};
use crate::pem;
use crate::xml::{Document, Element, Limits, XmlError};

/// The largest file that is read, in bytes: a federation of some ten thousand members.
pub const FILE_BYTES_MAX: usize = Limits::LARGE.bytes_max;

const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
const IDENTIFIERS: &str = "http://x-road.eu/xsd/identifiers";

/// Why a file is no configuration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Not well-formed XML, or over the limits.
    #[error("the configuration file is not readable: {0}")]
    Xml(#[from] XmlError),
    /// The root element is another one.
    #[error("the file holds `{found}`; `{expected}` of {XROAD} is needed")]
    Root {
        /// The root element as it came.
        found: String,
        /// The root element of such a file.
        expected: &'static str,
    },
    /// An element that must be there is not.
    #[error("`{parent}` lacks the element `{element}`")]
    Missing {
        /// Where it should stand.
        parent: String,
        /// What is missing.
        element: &'static str,
    },
    /// A value is not of its type.
    #[error("`{element}` holds `{value}`, which is no {expected}")]
    Value {
        /// The element.
        element: String,
        /// Its text, cut to 64 characters.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An identifier that must be usable is not.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// Reads `shared-params.xml` of version 2 to 6.
pub fn read_shared(xml: &[u8]) -> Result<SharedParams, ReadError> {
    let document = Document::parse(xml, &Limits::LARGE)?;
    let root = root(&document, "conf")?;
    let mut params = SharedParams::empty(&text(root, "instanceIdentifier")?);
    for element in root.elements() {
        match element.local() {
            "source" => params.sources.push(source(element)?),
            "approvedCA" => params.approved_cas.push(approved_ca(element)?),
            "approvedTSA" => params.approved_tsas.push(approved_tsa(element)?),
            _ => {}
        }
    }
    let mut refs = Refs::new();
    for element in root.named("member") {
        read_member(element, &mut params, &mut refs)?;
    }
    for element in root.named("securityServer") {
        read_server(element, &mut params, &refs)?;
    }
    for element in root.named("globalGroup") {
        read_group(element, &mut params)?;
    }
    let settings = required(root, "globalSettings")?;
    params.ocsp_freshness_s = number(required(settings, "ocspFreshnessSeconds")?)?;
    for class in settings.named("memberClass") {
        let (code, description) = (text(class, "code")?, optional_text(class, "description").unwrap_or_default());
        params.member_classes.push(MemberClass { code, description });
    }
    Ok(params)
}

/// Reads `private-params.xml`.
pub fn read_private(xml: &[u8]) -> Result<PrivateParams, ReadError> {
    let document = Document::parse(xml, &Limits::LARGE)?;
    let root = root(&document, "conf")?;
    let management = required(root, "managementService")?;
    Ok(PrivateParams {
        instance: text(root, "instanceIdentifier")?,
        anchors: root.named("configurationAnchor").map(anchor).collect::<Result<_, _>>()?,
        management: ManagementService {
            auth_cert_reg_address: text(management, "authCertRegServiceAddress")?,
            auth_cert_reg_cert: management.named("authCertRegServiceCert").next().map(blob).transpose()?,
            provider: client(required(management, "managementRequestServiceProviderId")?)?,
        },
        time_stamping_interval_s: number(required(root, "timeStampingIntervalSeconds")?)?,
    })
}

/// Reads an anchor file.
pub fn read_anchor(xml: &[u8]) -> Result<Anchor, ReadError> {
    let document = Document::parse(xml, &Limits::SMALL)?;
    anchor(root(&document, "configurationAnchor")?)
}

/// The XML ids of members and subsystems; `None` for those whose identifier this house refuses.
type Refs = HashMap<String, Option<ClientId>>;

fn source(element: Element<'_, '_>) -> Result<ConfigurationSource, ReadError> {
    Ok(ConfigurationSource {
        address: text(element, "address")?,
        internal_certs: element.named("internalVerificationCert").map(blob).collect::<Result<_, _>>()?,
        external_certs: element.named("externalVerificationCert").map(blob).collect::<Result<_, _>>()?,
    })
}

fn approved_ca(element: Element<'_, '_>) -> Result<ApprovedCa, ReadError> {
    let authentication_only = match optional_text(element, "authenticationOnly").as_deref() {
        None | Some("false" | "0") => false,
        Some("true" | "1") => true,
        Some(other) => return Err(wrong("authenticationOnly", other, "boolean")),
    };
    let acme = element.named("acmeServer").next().map(|acme| {
        Ok::<_, ReadError>(AcmeServer {
            directory_url: text(acme, "directoryURL")?,
            ip_address: optional_text(acme, "ipAddress"),
            authentication_profile_id: optional_text(acme, "authenticationCertificateProfileId"),
            signing_profile_id: optional_text(acme, "signingCertificateProfileId"),
        })
    });
    Ok(ApprovedCa {
        name: text(element, "name")?,
        authentication_only,
        top: ca_info(required(element, "topCA")?)?,
        intermediates: element.named("intermediateCA").map(ca_info).collect::<Result<_, _>>()?,
        certificate_profile: text(element, "certificateProfileInfo")?,
        csr_format: optional_text(element, "defaultCsrFormat")
            .and_then(|name| CsrFormat::ALL.into_iter().find(|format| format.name() == name)),
        acme: acme.transpose()?,
    })
}

fn ca_info(element: Element<'_, '_>) -> Result<CaInfo, ReadError> {
    let ocsp = element.named("ocsp").map(|ocsp| {
        Ok(OcspInfo {
            url: text(ocsp, "url")?,
            cert: ocsp.named("cert").next().map(blob).transpose()?,
            cost: cost(ocsp),
        })
    });
    Ok(CaInfo { cert: blob(required(element, "cert")?)?, ocsp: ocsp.collect::<Result<_, ReadError>>()? })
}

fn approved_tsa(element: Element<'_, '_>) -> Result<ApprovedTsa, ReadError> {
    Ok(ApprovedTsa {
        name: text(element, "name")?,
        url: text(element, "url")?,
        cert: blob(required(element, "cert")?)?,
        cost: cost(element),
    })
}

/// A word that a later version adds says nothing to us; the service can be used all the same.
fn cost(element: Element<'_, '_>) -> Option<CostType> {
    let name = optional_text(element, "costType")?;
    CostType::ALL.into_iter().find(|cost| cost.name() == name)
}

fn read_member(element: Element<'_, '_>, params: &mut SharedParams, refs: &mut Refs) -> Result<(), ReadError> {
    let class = text(required(element, "memberClass")?, "code")?;
    let code = text(element, "memberCode")?;
    let name = text(element, "name")?;
    let id = match MemberId::new(&params.instance, &class, &code) {
        Ok(id) => id,
        Err(error) => {
            params.ignored.push(format!("member {class}/{code}: {error}"));
            for named in std::iter::once(element).chain(element.named("subsystem")) {
                named.attribute("id").map(|id| refs.insert(id.to_owned(), None));
            }
            return Ok(());
        }
    };
    if let Some(reference) = element.attribute("id") {
        refs.insert(reference.to_owned(), Some(ClientId::of_member(id.clone())));
    }
    let mut member = Member { id, name, subsystems: Vec::new() };
    for subsystem in element.named("subsystem") {
        let code = text(subsystem, "subsystemCode")?;
        let client = match member.id.subsystem(&code) {
            Ok(client) => {
                member.subsystems.push(Subsystem { code, name: optional_text(subsystem, "subsystemName") });
                Some(client)
            }
            Err(error) => {
                params.ignored.push(format!("subsystem {}/{code}: {error}", member.id));
                None
            }
        };
        if let Some(reference) = subsystem.attribute("id") {
            refs.insert(reference.to_owned(), client);
        }
    }
    params.members.push(member);
    Ok(())
}

fn read_server(element: Element<'_, '_>, params: &mut SharedParams, refs: &Refs) -> Result<(), ReadError> {
    let code = text(element, "serverCode")?;
    let owner = text(element, "owner")?;
    let id = match refs.get(&owner) {
        Some(Some(client)) if client.subsystem().is_none() => client.member().server(&code),
        _ => {
            params.ignored.push(format!("node {code}: its owner `{}` is no usable member", cut(&owner)));
            return Ok(());
        }
    };
    let id = match id {
        Ok(id) => id,
        Err(error) => {
            params.ignored.push(format!("node {code}: {error}"));
            return Ok(());
        }
    };
    let mut clients = Vec::new();
    for client in element.named("client") {
        let reference = client.text();
        match refs.get(reference.trim()) {
            Some(Some(client)) => clients.push(client.clone()),
            Some(None) => {}
            None => params.ignored.push(format!("node {id}: its client `{}` is nobody", cut(&reference))),
        }
    }
    params.servers.push(SecurityServer {
        id,
        address: optional_text(element, "address").filter(|address| !address.is_empty()),
        auth_cert_hashes: element.named("authCertHash").map(blob).collect::<Result<_, _>>()?,
        clients,
        maintenance: element
            .named("inMaintenanceMode")
            .next()
            .map(|mode| optional_text(mode, "message").unwrap_or_default()),
    });
    Ok(())
}

fn read_group(element: Element<'_, '_>, params: &mut SharedParams) -> Result<(), ReadError> {
    let code = text(element, "groupCode")?;
    let mut members = Vec::new();
    for member in element.named("groupMember") {
        match client(member) {
            Ok(client) => members.push(client),
            Err(ReadError::Id(error)) => params.ignored.push(format!("a member of the group {code}: {error}")),
            Err(error) => return Err(error),
        }
    }
    let description = optional_text(element, "description").unwrap_or_default();
    params.groups.push(GlobalGroup { code, description, members });
    Ok(())
}

fn anchor(element: Element<'_, '_>) -> Result<Anchor, ReadError> {
    let sources = element.named("source").map(|source| {
        Ok(AnchorSource {
            download_url: text(source, "downloadURL")?,
            certs: source.named("verificationCert").map(blob).collect::<Result<_, _>>()?,
        })
    });
    let anchor = Anchor {
        generated_at: optional_text(element, "generatedAt").map(|text| moment(&text)).transpose()?,
        instance: text(element, "instanceIdentifier")?,
        sources: sources.collect::<Result<_, ReadError>>()?,
    };
    if anchor.sources.is_empty() {
        return Err(missing(element, "source"));
    }
    Ok(anchor)
}

/// An `XRoadClientIdentifierType`.
fn client(element: Element<'_, '_>) -> Result<ClientId, ReadError> {
    let part = |local: &'static str| element.child(IDENTIFIERS, local).map(|part| part.text().trim().to_owned());
    let needed = |local: &'static str| part(local).ok_or_else(|| missing(element, local));
    let member = MemberId::new(&needed("xRoadInstance")?, &needed("memberClass")?, &needed("memberCode")?)?;
    Ok(match part("subsystemCode") {
        Some(code) => member.subsystem(&code)?,
        None => ClientId::of_member(member),
    })
}

fn root<'d, 'a>(document: &'d Document<'a>, expected: &'static str) -> Result<Element<'d, 'a>, ReadError> {
    let root = document.root();
    if root.is(XROAD, expected) { Ok(root) } else { Err(ReadError::Root { found: cut(root.local()), expected }) }
}

fn required<'d, 'a>(parent: Element<'d, 'a>, element: &'static str) -> Result<Element<'d, 'a>, ReadError> {
    parent.named(element).next().ok_or_else(|| missing(parent, element))
}

fn text(parent: Element<'_, '_>, element: &'static str) -> Result<String, ReadError> {
    Ok(required(parent, element)?.text().trim().to_owned())
}

fn optional_text(parent: Element<'_, '_>, element: &str) -> Option<String> {
    parent.named(element).next().map(|element| element.text().trim().to_owned())
}

fn number(element: Element<'_, '_>) -> Result<u32, ReadError> {
    let text = element.text();
    text.trim().parse().map_err(|_| wrong(element.local(), &text, "whole number of seconds"))
}

/// base64, broken into lines or not. Some central servers put a whole PEM file inside.
fn blob(element: Element<'_, '_>) -> Result<Vec<u8>, ReadError> {
    let text: String = element.text().chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(&text).map_err(|_| wrong(element.local(), &text, "base64"))?;
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(bytes);
    }
    let inner = std::str::from_utf8(&bytes).ok().and_then(|text| pem::decode_all("CERTIFICATE", text));
    inner
        .and_then(|blocks| blocks.into_iter().next())
        .ok_or_else(|| wrong(element.local(), &text, "certificate in PEM"))
}

/// An `xsd:dateTime`; without a zone it is taken as UTC.
fn moment(text: &str) -> Result<Timestamp, ReadError> {
    Timestamp::parse_rfc3339(text)
        .or_else(|_| Timestamp::parse_rfc3339(&format!("{}Z", text.trim())))
        .map_err(|_| wrong("generatedAt", text, "date and time"))
}

fn missing(parent: Element<'_, '_>, element: &'static str) -> ReadError {
    ReadError::Missing { parent: cut(parent.local()), element }
}

fn wrong(element: &str, value: &str, expected: &'static str) -> ReadError {
    ReadError::Value { element: element.to_owned(), value: cut(value), expected }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
