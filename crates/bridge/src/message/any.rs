use civic::{ClientId, ServerId, ServiceId};

use trust::digest::{Digest, DigestAlgorithm};

use super::soap::{ContentType, MimeHeaders, SoapMessage};
use super::{RestRequest, RestResponse, Verb};
use crate::transport::Message;

/// A SOAP request on its way between nodes.
#[derive(Clone, Debug)]
pub struct SoapRequest {
    /// The SOAP part.
    pub message: SoapMessage,
    /// The headers of its part beside the Content-Type.
    pub headers: MimeHeaders,
    /// The Content-Type of the whole, as the information system sent it.
    pub original: ContentType,
    /// SOAPAction, as it came.
    pub action: Option<String>,
    /// x-road-request-id: one for each exchange, chosen by the node of the caller.
    pub request_id: String,
}

/// A request of either protocol: what an exchange needs to know of it.
#[derive(Clone, Debug)]
pub enum AnyRequest {
    /// REST r1.
    Rest(Box<RestRequest>),
    /// SOAP 4.0.
    Soap(Box<SoapRequest>),
}

/// An answer of either protocol.
#[derive(Clone, Debug)]
pub enum AnyResponse {
    /// REST r1.
    Rest(Box<RestResponse>),
    /// SOAP 4.0, with the headers of its part beside the Content-Type.
    Soap(Box<SoapMessage>, MimeHeaders),
}

impl AnyRequest {
    /// Who asks.
    pub fn client(&self) -> &ClientId {
        match self {
            Self::Rest(request) => request.client(),
            Self::Soap(request) => &request.message.header().client,
        }
    }

    /// What is asked for.
    pub fn service(&self) -> &ServiceId {
        match self {
            Self::Rest(request) => request.service(),
            Self::Soap(request) => &request.message.header().service,
        }
    }

    /// The version of the service; REST has none.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Rest(_) => None,
            Self::Soap(request) => request.message.header().service_version.as_deref(),
        }
    }

    /// The node that the caller wants, where it named one.
    pub fn server(&self) -> Option<&ServerId> {
        match self {
            Self::Rest(request) => request.server(),
            Self::Soap(request) => request.message.header().server.as_ref(),
        }
    }

    /// The id of the message, chosen by the caller (REST: or its node).
    pub fn message_id(&self) -> &str {
        match self {
            Self::Rest(request) => request.message_id(),
            Self::Soap(request) => &request.message.header().id,
        }
    }

    /// The id of the exchange, chosen by the node of the caller.
    pub fn request_id(&self) -> &str {
        match self {
            Self::Rest(request) => request.request_id(),
            Self::Soap(request) => &request.request_id,
        }
    }

    /// The digest of what is signed as the message.
    pub fn digest(&self, algorithm: DigestAlgorithm) -> Digest {
        match (algorithm, self) {
            (DigestAlgorithm::Sha512, _) => Digest::made_sha512(self.sha512()),
            (_, Self::Rest(request)) => Digest::of(algorithm, request.bytes()),
            (_, Self::Soap(request)) => Digest::of(algorithm, request.message.bytes()),
        }
    }

    /// SHA-512 of what is signed as the message.
    pub fn sha512(&self) -> [u8; 64] {
        match self {
            Self::Rest(request) => *request.sha512(),
            Self::Soap(request) => request.message.hash(),
        }
    }

    /// What the answer must name: of REST the hash of head and body, of SOAP that of the SOAP part.
    pub fn answer_hash(&self, body: Option<&Digest>) -> [u8; 64] {
        match self {
            Self::Rest(request) => request.hash(body),
            Self::Soap(request) => request.message.hash(),
        }
    }

    /// The first part of the message between nodes.
    pub fn message(&self) -> Message {
        match self {
            Self::Rest(request) => Message::Rest(request.bytes().clone()),
            Self::Soap(request) => soap_part(&request.message, &request.headers),
        }
    }

    /// Whether the request changes nothing at the service; of SOAP nobody can tell.
    pub fn is_safe(&self) -> bool {
        match self {
            Self::Rest(request) => request.verb().is_safe(),
            Self::Soap(_) => false,
        }
    }

    /// The verb under which consent is asked: it covers reading. A SOAP request is a POST by its transport only.
    pub fn consent_verb(&self) -> Verb {
        match self {
            Self::Rest(request) => request.verb(),
            Self::Soap(_) => Verb::Get,
        }
    }

    /// The path that consent must cover: of a REST request what follows the service code; of a SOAP request the element `year` of its
    /// body, where it stands plainly.
    pub fn consent_path(&self) -> String {
        match self {
            Self::Rest(request) => request.service_path().to_owned(),
            Self::Soap(request) => {
                let year = request.message.plain_argument("year");
                year.filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()))
                    .map_or_else(String::new, |year| format!("/{year}"))
            }
        }
    }

    /// The access token: `Authorization: Bearer` of REST, the header securityToken of SOAP.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Rest(request) => {
                let (scheme, token) = request.header("authorization")?.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            }
            Self::Soap(request) => request.message.header().token.as_ref().map(|token| token.value.as_str()),
        }
    }

    /// The REST request, where it is one.
    pub fn rest(&self) -> Option<&RestRequest> {
        match self {
            Self::Rest(request) => Some(request),
            Self::Soap(_) => None,
        }
    }
}

impl AnyResponse {
    /// The HTTP status of the service; a SOAP message that is no fault comes with 200.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Rest(response) => response.status(),
            Self::Soap(..) => 200,
        }
    }

    /// The first part of the message between nodes.
    pub fn message(&self) -> Message {
        match self {
            Self::Rest(response) => Message::Rest(response.bytes().clone()),
            Self::Soap(message, headers) => soap_part(message, headers),
        }
    }
}

fn soap_part(message: &SoapMessage, headers: &MimeHeaders) -> Message {
    Message::Soap {
        content_type: message.content_type().to_string(),
        headers: headers.clone(),
        bytes: message.bytes().clone(),
    }
}
