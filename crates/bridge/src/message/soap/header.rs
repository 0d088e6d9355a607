use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use civic::{ClientId, MemberId, ServerId, ServiceId};
use trust::xml::Element;

use super::{
    IDENTIFIERS_NAMESPACE, REPRESENTATION_NAMESPACE, SECURITY_TOKEN_NAMESPACE, SoapError, XROAD_NAMESPACE, cut,
};

/// A member on whose behalf the client asks (PR-THIRDPARTY).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepresentedParty {
    /// Its class, where one is given.
    pub class: Option<String>,
    /// Its code, where one is given.
    pub code: Option<String>,
}

/// A token for the service (PR-SECTOKEN). X-Road does not look into it; a service that rests on consent needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityToken {
    /// For instance `urn:ietf:params:oauth:token-type:jwt`.
    pub kind: Option<String>,
    /// The token.
    pub value: String,
}

/// The hash of the request in an answer (PR-MESS §2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHash {
    /// The URI of the algorithm.
    pub algorithm: Option<String>,
    /// The hash; `None` where it is no base64.
    pub value: Option<Vec<u8>>,
}

/// The header of a request or an answer (PR-MESS §2.2). Values are as written: white space is not cut, as X-Road does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoapHeader {
    /// Who asks.
    pub client: ClientId,
    /// What is asked for.
    pub service: ServiceId,
    /// The version of the service, where the caller named one.
    pub service_version: Option<String>,
    /// The id of the message, chosen by the caller.
    pub id: String,
    /// `4.0`.
    pub protocol_version: String,
    /// Who sits before the screen, as the caller says.
    pub user_id: Option<String>,
    /// The case for which the caller asks.
    pub issue: Option<String>,
    /// The node that the caller wants, where it named one.
    pub server: Option<ServerId>,
    /// On whose behalf the client asks.
    pub represented_party: Option<RepresentedParty>,
    /// The token for the service.
    pub token: Option<SecurityToken>,
    /// In answers.
    pub request_hash: Option<RequestHash>,
}

impl SoapHeader {
    /// The first field of those that X-Road compares that differs.
    pub(super) fn mismatch(&self, request: &Self) -> Option<&'static str> {
        let same = [
            ("client", self.client == request.client),
            ("service", self.service == request.service && self.service_version == request.service_version),
            ("userId", self.user_id == request.user_id),
            ("representedParty", self.represented_party == request.represented_party),
            ("issue", self.issue == request.issue),
            ("id", self.id == request.id),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }
}

/// Fields as they are found.
#[derive(Default)]
pub(super) struct Fields {
    client: Option<ClientId>,
    service: Option<(ServiceId, Option<String>)>,
    id: Option<String>,
    protocol_version: Option<String>,
    user_id: Option<String>,
    issue: Option<String>,
    server: Option<ServerId>,
    represented_party: Option<RepresentedParty>,
    token: Option<SecurityToken>,
    request_hash: Option<RequestHash>,
}

/// Reads the fields of a Header element; fields of others are left alone.
pub(super) fn read(header: Element<'_, '_>) -> Result<Fields, SoapError> {
    let mut fields = Fields::default();
    for element in header.elements() {
        match (element.namespace(), element.local()) {
            (XROAD_NAMESPACE, "client") => set(&mut fields.client, "client", client(element)),
            (XROAD_NAMESPACE, "service") => set(&mut fields.service, "service", service(element)),
            (XROAD_NAMESPACE, "securityServer") => set(&mut fields.server, "securityServer", server(element)),
            (XROAD_NAMESPACE, "id") => set(&mut fields.id, "id", message_id(element)),
            (XROAD_NAMESPACE, "userId") => set(&mut fields.user_id, "userId", short(element, "userId")),
            (XROAD_NAMESPACE, "issue") => set(&mut fields.issue, "issue", short(element, "issue")),
            (XROAD_NAMESPACE, "protocolVersion") => {
                set(&mut fields.protocol_version, "protocolVersion", version(element))
            }
            (XROAD_NAMESPACE, "requestHash") => set(&mut fields.request_hash, "requestHash", Ok(request_hash(element))),
            (REPRESENTATION_NAMESPACE, "representedParty") => {
                set(&mut fields.represented_party, "representedParty", represented_party(element))
            }
            (SECURITY_TOKEN_NAMESPACE, "securityToken") => {
                let kind = element.attribute("tokenType").map(str::to_owned);
                let token = SecurityToken { kind, value: element.text().trim().to_owned() };
                set(&mut fields.token, "securityToken", Ok(token))
            }
            _ => Ok(()),
        }?;
    }
    Ok(fields)
}

impl Fields {
    /// The header, where nothing mandatory is missing.
    pub(super) fn complete(self) -> Result<SoapHeader, SoapError> {
        let protocol_version = self.protocol_version.ok_or(SoapError::MissingField("protocolVersion"))?;
        let client = self.client.ok_or(SoapError::MissingField("client"))?;
        let id = self.id.ok_or(SoapError::MissingField("id"))?;
        let (service, service_version) = self.service.ok_or(SoapError::MissingField("service"))?;
        Ok(SoapHeader {
            client,
            service,
            service_version,
            id,
            protocol_version,
            user_id: self.user_id,
            issue: self.issue,
            server: self.server,
            represented_party: self.represented_party,
            token: self.token,
            request_hash: self.request_hash,
        })
    }
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: Result<T, SoapError>) -> Result<(), SoapError> {
    if slot.is_some() {
        return Err(SoapError::Duplicate(name));
    }
    *slot = Some(value?);
    Ok(())
}

fn client(element: Element<'_, '_>) -> Result<ClientId, SoapError> {
    let parts = Parts::read(element, "client", &["MEMBER", "SUBSYSTEM"])?;
    parts.owner()
}

fn service(element: Element<'_, '_>) -> Result<(ServiceId, Option<String>), SoapError> {
    let parts = Parts::read(element, "service", &["SERVICE"])?;
    let service = parts.owner()?.service(parts.need("serviceCode")?).map_err(|error| parts.wrong(&error))?;
    let version = parts.get("serviceVersion").filter(|version| !version.is_empty());
    if let Some(version) = version {
        // The rules for a part of an identifier hold for the version too.
        service.client().service(version).map_err(|error| parts.wrong(&error))?;
    }
    Ok((service, version.map(str::to_owned)))
}

fn server(element: Element<'_, '_>) -> Result<ServerId, SoapError> {
    let parts = Parts::read(element, "securityServer", &["SERVER"])?;
    parts.member()?.server(parts.need("serverCode")?).map_err(|error| parts.wrong(&error))
}

/// The id is a key in logs and file names of evidence, so its length and characters have limits. X-Road takes an empty one.
fn message_id(element: Element<'_, '_>) -> Result<String, SoapError> {
    let text = short(element, "id")?;
    if text.chars().any(char::is_control) {
        return Err(SoapError::Field { field: "id", reason: "it may hold no control character" });
    }
    Ok(text)
}

fn short(element: Element<'_, '_>, field: &'static str) -> Result<String, SoapError> {
    let text = element.text().into_owned();
    if text.len() > 255 {
        return Err(SoapError::Field { field, reason: "it has more than 255 bytes" });
    }
    Ok(text)
}

/// X-Road looks at the beginning only.
fn version(element: Element<'_, '_>) -> Result<String, SoapError> {
    let text = element.text().into_owned();
    if text.starts_with("4.") { Ok(text) } else { Err(SoapError::ProtocolVersion(cut(&text))) }
}

fn request_hash(element: Element<'_, '_>) -> RequestHash {
    let text: String = element.text().chars().filter(|character| !character.is_ascii_whitespace()).collect();
    RequestHash { algorithm: element.attribute("algorithmId").map(str::to_owned), value: BASE64.decode(text).ok() }
}

fn represented_party(element: Element<'_, '_>) -> Result<RepresentedParty, SoapError> {
    let mut party = RepresentedParty { class: None, code: None };
    for part in element.elements().filter(|part| part.namespace() == REPRESENTATION_NAMESPACE) {
        match part.local() {
            "partyClass" => set(&mut party.class, "partyClass", short(part, "partyClass"))?,
            "partyCode" => set(&mut party.code, "partyCode", short(part, "partyCode"))?,
            _ => {}
        }
    }
    Ok(party)
}

/// The parts of an identifier.
struct Parts {
    field: &'static str,
    kind: String,
    found: Vec<(&'static str, String)>,
}

const PARTS: [&str; 7] =
    ["xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion", "serverCode"];

impl Parts {
    fn read(element: Element<'_, '_>, field: &'static str, kinds: &[&str]) -> Result<Self, SoapError> {
        let refused = |reason: String| SoapError::Identifier { field, reason };
        let kind = element
            .attribute_of(IDENTIFIERS_NAMESPACE, "objectType")
            .ok_or_else(|| refused("the attribute objectType is missing".to_owned()))?;
        if !kinds.contains(&kind) {
            return Err(refused(format!("objectType is `{}`; it must be {}", cut(kind), kinds.join(" or "))));
        }
        let mut found: Vec<(&'static str, String)> = Vec::with_capacity(6);
        for part in element.elements().filter(|part| part.namespace() == IDENTIFIERS_NAMESPACE) {
            let Some(name) = PARTS.into_iter().find(|name| *name == part.local()) else { continue };
            if found.iter().any(|(earlier, _)| *earlier == name) {
                return Err(SoapError::Duplicate(name));
            }
            found.push((name, part.text().into_owned()));
        }
        Ok(Self { field, kind: kind.to_owned(), found })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.found.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    fn need(&self, name: &'static str) -> Result<&str, SoapError> {
        self.get(name).ok_or_else(|| SoapError::Identifier { field: self.field, reason: format!("{name} is missing") })
    }

    fn member(&self) -> Result<MemberId, SoapError> {
        MemberId::new(self.need("xRoadInstance")?, self.need("memberClass")?, self.need("memberCode")?)
            .map_err(|error| self.wrong(&error))
    }

    /// Member or subsystem; it must be what objectType says.
    fn owner(&self) -> Result<ClientId, SoapError> {
        let member = self.member()?;
        let subsystem = self.get("subsystemCode");
        let contradicts = match self.kind.as_str() {
            "MEMBER" => subsystem.is_some(),
            "SUBSYSTEM" => subsystem.is_none(),
            _ => false,
        };
        if contradicts {
            let reason = format!("objectType {} and subsystemCode contradict each other", self.kind);
            return Err(SoapError::Identifier { field: self.field, reason });
        }
        match subsystem {
            Some(code) => member.subsystem(code).map_err(|error| self.wrong(&error)),
            None => Ok(ClientId::of_member(member)),
        }
    }

    fn wrong(&self, error: &dyn std::fmt::Display) -> SoapError {
        SoapError::Identifier { field: self.field, reason: error.to_string() }
    }
}
