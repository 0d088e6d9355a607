//! The SOAP messages: PR-MESS 4.0 headers around the bodies of PR-MSERV §2.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{ClientId, MemberId, ServerId};

use super::{Command, ManagementRequest, MservError, REQUEST_BYTES_MAX, base64};
use crate::xml::{Document, Element, Limits, escape_text};

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
const IDENTIFIERS: &str = "http://x-road.eu/xsd/identifiers";
const PROTOCOL: &str = "4.0";
const TEXT_CHARS_MAX: usize = 255;

impl ManagementRequest {
    /// The SOAP message, UTF-8.
    pub fn to_soap(&self) -> Vec<u8> {
        self.message("", None).into_bytes()
    }

    /// Reads a SOAP message and checks that its parts agree: the header's service is the body's, the protocol is 4.0,
    /// and the sender owns the node.
    pub fn from_soap(bytes: &[u8]) -> Result<Self, MservError> {
        let request = Self::read(bytes, "")?.0;
        let (sender, server) = (&request.sender, request.command.server());
        if sender.subsystem().is_some() || sender.member() != server.owner() {
            return Err(MservError::NotOwner { sender: sender.to_string(), server: server.to_string() });
        }
        Ok(request)
    }

    fn read(bytes: &[u8], suffix: &str) -> Result<(Self, Option<u64>), MservError> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(MservError::TooLarge { len: bytes.len() });
        }
        let document = Document::parse(bytes, &Limits::SMALL)?;
        let body = body_of(&document)?;
        let header = document.root().child(ENVELOPE, "Header").ok_or(MservError::Malformed("it has no SOAP header"))?;
        if needed_text(header, XROAD, "protocolVersion")? != PROTOCOL {
            return Err(MservError::Malformed("its protocolVersion is not 4.0"));
        }
        let service = needed(header, XROAD, "service")?;
        let service_code = needed_text(service, IDENTIFIERS, "serviceCode")?;
        let content = body.elements().next().ok_or(MservError::Malformed("its SOAP body is empty"))?;
        let named = content.local().strip_suffix(suffix).unwrap_or_default();
        if named != service_code || content.namespace() != XROAD {
            return Err(MservError::Malformed("the body is of another service than the header says"));
        }
        let request = Self {
            id: limited(needed_text(header, XROAD, "id")?, "message id")?,
            sender: client(needed(header, XROAD, "client")?)?,
            provider: client(service)?,
            user: optional_text(header, "userId"),
            issue: optional_text(header, "issue"),
            command: command(&service_code, content)?,
        };
        Ok((request, optional_text(content, "requestId").and_then(|number| number.parse().ok())))
    }

    fn message(&self, suffix: &str, request_id: Option<u64>) -> String {
        let mut out = String::with_capacity(4096);
        // Writing to a String cannot fail; the results are dropped for that reason only.
        let _ = write!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<SOAP-ENV:Envelope xmlns:SOAP-ENV=\"{ENVELOPE}\" \
             xmlns:id=\"{IDENTIFIERS}\" xmlns:xroad=\"{XROAD}\"><SOAP-ENV:Header>"
        );
        write_client(&mut out, "client", &self.sender);
        let _ = write!(out, "<xroad:service id:objectType=\"SERVICE\">");
        write_parts(&mut out, &self.provider);
        let _ = write!(out, "<id:serviceCode>{}</id:serviceCode></xroad:service>", self.command.service());
        optional_element(&mut out, "userId", self.user.as_deref());
        element(&mut out, "id", &self.id);
        optional_element(&mut out, "issue", self.issue.as_deref());
        element(&mut out, "protocolVersion", PROTOCOL);
        let name = format!("{}{suffix}", self.command.service());
        let _ = write!(out, "</SOAP-ENV:Header><SOAP-ENV:Body><xroad:{name}>");
        write_command(&mut out, &self.command);
        optional_element(&mut out, "requestId", request_id.map(|id| id.to_string()).as_deref());
        let _ = write!(out, "</xroad:{name}></SOAP-ENV:Body></SOAP-ENV:Envelope>");
        out
    }
}

/// The authority's answer: the request's headers and fields again, and the number that it gave the request.
pub fn response(request: &ManagementRequest, request_id: u64) -> Vec<u8> {
    request.message("Response", Some(request_id)).into_bytes()
}

/// Reads the answer to a request: the number that the authority gave it. A fault is [`MservError::Fault`].
pub fn read_response(request: &ManagementRequest, bytes: &[u8]) -> Result<u64, MservError> {
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(MservError::TooLarge { len: bytes.len() });
    }
    let document = Document::parse(bytes, &Limits::SMALL)?;
    if let Some(fault) = body_of(&document)?.child(ENVELOPE, "Fault") {
        let text = |name: &str| fault.named(name).next().map(|found| found.text().trim().to_owned());
        return Err(MservError::Fault {
            code: text("faultcode").unwrap_or_default(),
            text: text("faultstring").unwrap_or_default(),
        });
    }
    let (repeated, number) = ManagementRequest::read(bytes, "Response")?;
    if repeated != *request {
        return Err(MservError::OtherRequest);
    }
    number.ok_or(MservError::Missing { parent: "the answer".to_owned(), element: "requestId" })
}

/// A SOAP fault (SOAP 1.1 §4.4) in X-Road's form; `detail` is the id by which the authority's log knows it.
pub fn fault(code: &str, text: &str, detail: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><SOAP-ENV:Envelope xmlns:SOAP-ENV=\"{ENVELOPE}\"><SOAP-ENV:Body>\
         <SOAP-ENV:Fault><faultcode>{}</faultcode><faultstring>{}</faultstring><detail><faultDetail xmlns=\"\">{}\
         </faultDetail></detail></SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>",
        escape_text(code),
        escape_text(text),
        escape_text(detail)
    )
    .into_bytes()
}

fn body_of<'d>(document: &'d Document<'_>) -> Result<Element<'d, 'd>, MservError> {
    let root = document.root();
    if !root.is(ENVELOPE, "Envelope") {
        return Err(MservError::Malformed("it is no SOAP 1.1 envelope"));
    }
    root.child(ENVELOPE, "Body").ok_or(MservError::Malformed("it has no SOAP body"))
}

fn command(service: &str, content: Element<'_, '_>) -> Result<Command, MservError> {
    let server = server(needed(content, XROAD, "server")?)?;
    let about = || client(needed(content, XROAD, "client")?);
    let certificate =
        || base64(&needed(content, XROAD, "authCert")?.text()).ok_or(MservError::Malformed("authCert is not base64"));
    let name = || optional_text(content, "subsystemName").map(|name| limited(name, "subsystem name")).transpose();
    let address = || optional_text(content, "address").map(|address| limited(address, "address")).transpose();
    let address_missing = MservError::Missing { parent: service.to_owned(), element: "address" };
    let name_missing = MservError::Missing { parent: service.to_owned(), element: "subsystemName" };
    Ok(match service {
        "authCertReg" => {
            let dry_run = matches!(optional_text(content, "dryRun").as_deref(), Some("true" | "1"));
            Command::AuthCertReg { server, address: address()?, auth_cert: certificate()?, dry_run }
        }
        "authCertDeletion" => Command::AuthCertDeletion { server, auth_cert: certificate()? },
        "clientReg" => Command::ClientReg { server, client: about()?, subsystem_name: name()? },
        "clientDeletion" => Command::ClientDeletion { server, client: about()? },
        "ownerChange" => Command::OwnerChange { server, client: about()? },
        "addressChange" => Command::AddressChange { server, address: address()?.ok_or(address_missing)? },
        "clientDisable" => Command::ClientDisable { server, client: about()? },
        "clientEnable" => Command::ClientEnable { server, client: about()? },
        "clientRename" => {
            Command::ClientRename { server, client: about()?, subsystem_name: name()?.ok_or(name_missing)? }
        }
        "maintenanceModeEnable" => {
            let message = optional_text(content, "message").map(|text| limited(text, "maintenance message"));
            Command::MaintenanceModeEnable { server, message: message.transpose()? }
        }
        "maintenanceModeDisable" => Command::MaintenanceModeDisable { server },
        other => return Err(MservError::UnknownService(other.chars().take(64).collect())),
    })
}

fn write_command(out: &mut String, command: &Command) {
    let server = command.server();
    let _ = write!(out, "<xroad:server id:objectType=\"SERVER\">");
    write_member(out, server.owner());
    let _ = write!(out, "<id:serverCode>{}</id:serverCode></xroad:server>", escape_text(server.code()));
    if let Some(client) = command.client() {
        write_client(out, "client", client);
    }
    match command {
        Command::AuthCertReg { address, auth_cert, dry_run, .. } => {
            optional_element(out, "address", address.as_deref());
            element(out, "authCert", &STANDARD.encode(auth_cert));
            optional_element(out, "dryRun", dry_run.then_some("true"));
        }
        Command::AuthCertDeletion { auth_cert, .. } => element(out, "authCert", &STANDARD.encode(auth_cert)),
        Command::ClientReg { subsystem_name, .. } => optional_element(out, "subsystemName", subsystem_name.as_deref()),
        Command::ClientRename { subsystem_name, .. } => element(out, "subsystemName", subsystem_name),
        Command::AddressChange { address, .. } => element(out, "address", address),
        Command::MaintenanceModeEnable { message, .. } => optional_element(out, "message", message.as_deref()),
        _ => {}
    }
}

fn write_client(out: &mut String, name: &str, client: &ClientId) {
    let kind = if client.subsystem().is_some() { "SUBSYSTEM" } else { "MEMBER" };
    let _ = write!(out, "<xroad:{name} id:objectType=\"{kind}\">");
    write_parts(out, client);
    let _ = write!(out, "</xroad:{name}>");
}

fn write_parts(out: &mut String, client: &ClientId) {
    write_member(out, client.member());
    if let Some(code) = client.subsystem() {
        let _ = write!(out, "<id:subsystemCode>{}</id:subsystemCode>", escape_text(code));
    }
}

fn write_member(out: &mut String, member: &MemberId) {
    let parts = [("xRoadInstance", member.instance()), ("memberClass", member.class()), ("memberCode", member.code())];
    for (name, value) in parts {
        let _ = write!(out, "<id:{name}>{}</id:{name}>", escape_text(value));
    }
}

fn element(out: &mut String, name: &str, text: &str) {
    let _ = write!(out, "<xroad:{name}>{}</xroad:{name}>", escape_text(text));
}

fn optional_element(out: &mut String, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        element(out, name, text);
    }
}

fn client(parent: Element<'_, '_>) -> Result<ClientId, MservError> {
    let member = member(parent)?;
    Ok(match parent.child(IDENTIFIERS, "subsystemCode") {
        Some(code) => member.subsystem(code.text().trim())?,
        None => ClientId::of_member(member),
    })
}

fn server(parent: Element<'_, '_>) -> Result<ServerId, MservError> {
    Ok(member(parent)?.server(&needed_text(parent, IDENTIFIERS, "serverCode")?)?)
}

fn member(parent: Element<'_, '_>) -> Result<MemberId, MservError> {
    let part = |name: &'static str| needed_text(parent, IDENTIFIERS, name);
    Ok(MemberId::new(&part("xRoadInstance")?, &part("memberClass")?, &part("memberCode")?)?)
}

fn needed<'d, 'a>(
    parent: Element<'d, 'a>,
    namespace: &str,
    element: &'static str,
) -> Result<Element<'d, 'a>, MservError> {
    let missing = || MservError::Missing { parent: parent.local().chars().take(64).collect(), element };
    parent.child(namespace, element).ok_or_else(missing)
}

fn needed_text(parent: Element<'_, '_>, namespace: &str, element: &'static str) -> Result<String, MservError> {
    Ok(needed(parent, namespace, element)?.text().trim().to_owned())
}

fn optional_text(parent: Element<'_, '_>, element: &str) -> Option<String> {
    parent.child(XROAD, element).map(|found| found.text().trim().to_owned()).filter(|text| !text.is_empty())
}

fn limited(text: String, what: &'static str) -> Result<String, MservError> {
    let chars = text.chars().count();
    if chars == 0 || chars > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(MservError::Text { what });
    }
    Ok(text)
}
