//! Who speaks to whom in a message: as much of it as a verifier needs.

use civic::{ClientId, MemberId};

use crate::xml::{Document, Element, Limits};

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
const IDENTIFIERS: &str = "http://x-road.eu/xsd/identifiers";
/// Length of the header part of a REST message in bytes at most.
const HEADERS_MAX: usize = 1 << 20;

/// A message in few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSummary {
    /// Its protocol.
    pub protocol: Protocol,
    /// Whether it asks or answers.
    pub direction: Direction,
    /// Who asks.
    pub client: ClientId,
    /// Who is asked: the provider of the service.
    pub provider: ClientId,
    /// The service code.
    pub service: String,
    /// `X-Road-Id`, or the `id` header of SOAP.
    pub id: Option<String>,
}

/// The protocol of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// REST r1.
    Rest,
    /// SOAP 4.0.
    Soap,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the provider.
    Request,
    /// From the provider to the client.
    Response,
}

impl MessageSummary {
    /// Reads a SOAP envelope or the header part of a REST message; `Err` says what is missing.
    pub fn read(message: &[u8]) -> Result<Self, String> {
        if message.trim_ascii_start().starts_with(b"<") || message.starts_with(b"\xef\xbb\xbf") {
            soap(message)
        } else {
            rest(message)
        }
    }

    /// Who must have signed: the client of a request, the provider of a response.
    pub fn sender(&self) -> &ClientId {
        match self.direction {
            Direction::Request => &self.client,
            Direction::Response => &self.provider,
        }
    }
}

/// Header part of r1: `VERB path headers…` or `status reason headers…`, a line each (protocol facts §1.1).
fn rest(message: &[u8]) -> Result<MessageSummary, String> {
    if message.len() > HEADERS_MAX {
        return Err("the header part is longer than 1 MiB".to_owned());
    }
    let text = std::str::from_utf8(message).map_err(|_| "the header part is not UTF-8".to_owned())?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("");
    let second = lines.next().unwrap_or("");
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    // Where a header is repeated the last one counts, as X-Road reads them.
    let header = |name: &str| {
        headers.iter().rev().find(|(found, _)| found.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let client = header("x-road-client").ok_or("the header X-Road-Client is missing")?;
    let client: ClientId = client.parse().map_err(|error| format!("X-Road-Client: {error}"))?;
    let is_response = first.len() == 3 && first.bytes().all(|digit| digit.is_ascii_digit());
    let service = if is_response {
        header("x-road-service").ok_or("the header X-Road-Service is missing")?.to_owned()
    } else {
        let path = second.strip_prefix("/r1/").ok_or("the path of the request does not begin with /r1/")?;
        let path = path.split(['?', '#']).next().unwrap_or("");
        path.split('/').take(5).collect::<Vec<_>>().join("/")
    };
    let (provider, service) = service.rsplit_once('/').ok_or("the service has no code")?;
    Ok(MessageSummary {
        protocol: Protocol::Rest,
        direction: if is_response { Direction::Response } else { Direction::Request },
        client,
        provider: provider.parse().map_err(|error| format!("the service's provider: {error}"))?,
        service: service.to_owned(),
        id: header("x-road-id").map(str::to_owned),
    })
}

fn soap(message: &[u8]) -> Result<MessageSummary, String> {
    let document = Document::parse(message, &Limits::LARGE).map_err(|error| error.to_string())?;
    let envelope = document.root();
    if !envelope.is(SOAP, "Envelope") {
        return Err("the root is no SOAP 1.1 envelope".to_owned());
    }
    let only = |parent: Element<'_, '_>, namespace: &str, local: &str| {
        parent.elements().filter(|found| found.is(namespace, local)).count() == 1
    };
    if !only(envelope, SOAP, "Header") || !only(envelope, SOAP, "Body") {
        return Err("the envelope needs one Header and one Body".to_owned());
    }
    let header = envelope.child(SOAP, "Header").ok_or("there is no Header")?;
    let body = envelope.child(SOAP, "Body").ok_or("there is no Body")?;
    if !only(header, XROAD, "client") || !only(header, XROAD, "service") {
        return Err("the header needs one client and one service".to_owned());
    }
    let client = header.child(XROAD, "client").ok_or("there is no client")?;
    let service = header.child(XROAD, "service").ok_or("there is no service")?;
    let code = service.child(IDENTIFIERS, "serviceCode").ok_or("the service has no code")?;
    let wrapper = body.elements().next().ok_or("the body is empty")?;
    let response = wrapper.local().ends_with("Response");
    Ok(MessageSummary {
        protocol: Protocol::Soap,
        direction: if response { Direction::Response } else { Direction::Request },
        client: identifier(client)?,
        provider: identifier(service)?,
        service: code.text().trim().to_owned(),
        id: header.child(XROAD, "id").map(|id| id.text().trim().to_owned()),
    })
}

fn identifier(element: Element<'_, '_>) -> Result<ClientId, String> {
    let part = |name: &str| element.child(IDENTIFIERS, name).map(|part| part.text().trim().to_owned());
    let needed = |name: &str| part(name).ok_or_else(|| format!("{} has no {name}", element.local()));
    let member = MemberId::new(&needed("xRoadInstance")?, &needed("memberClass")?, &needed("memberCode")?)
        .map_err(|error| error.to_string())?;
    match part("subsystemCode") {
        Some(code) => member.subsystem(&code).map_err(|error| error.to_string()),
        None => Ok(ClientId::of_member(member)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_request_speaks_for_its_client() {
        let message = b"GET\r\n/r1/BB/GOV/1002/fisc/income-statement/2025?a=b\r\nX-Road-Client:BB/COM/2001/credit\r\nx-road-id:BB-1\r\n";
        let summary = MessageSummary::read(message).unwrap();
        assert_eq!(summary.sender().to_string(), "BB/COM/2001/credit");
        assert_eq!(summary.provider.to_string(), "BB/GOV/1002/fisc");
        assert_eq!((summary.service.as_str(), summary.id.as_deref()), ("income-statement", Some("BB-1")));
    }

    #[test]
    fn a_rest_response_speaks_for_its_provider() {
        let message =
            b"200\r\nOK\r\nx-road-client:BB/COM/2001/credit\r\nx-road-service:BB/GOV/1002/fisc/income-statement\r\n";
        assert_eq!(MessageSummary::read(message).unwrap().sender().to_string(), "BB/GOV/1002/fisc");
    }

    #[test]
    fn a_message_without_its_headers_is_refused() {
        assert!(MessageSummary::read(b"GET\r\n/r1/BB/GOV/1002/fisc/x\r\n").is_err());
        assert!(MessageSummary::read(b"<a/>").is_err());
        assert!(MessageSummary::read(b"").is_err());
    }
}
