//! The register of clients and the catalogue of services that they may ask for.

use civic::{ClientId, ServiceId};
use serde::{Deserialize, Serialize};
use trust::jose::Jwks;
use web::Text;

use crate::assurance::Acr;
use crate::error::IdentityError;

/// A system that sends people here to log in, or comes by itself. Clients are confidential and authenticate with private_key_jwt only.
#[derive(Clone, Debug)]
pub struct Client {
    /// The `client_id`.
    pub id: String,
    /// The organisation as people know it.
    pub name: Text,
    /// Where answers may go; compared character by character (RFC 9700 §4.1.3). Empty only where nobody logs in through it.
    pub redirect_uris: Vec<String>,
    /// Where the browser may go after logout.
    pub post_logout_redirect_uris: Vec<String>,
    /// The public keys that it signs its assertions with.
    pub keys: Jwks,
    /// The subsystem that calls the bridge for it. It is also the sector of its pairwise subjects.
    pub member: ClientId,
    /// The services that it may name in `authorization_details`.
    pub services: Vec<ServiceId>,
    /// The scopes that it may ask besides `openid`.
    pub scopes: Vec<Scope>,
    /// The scopes of services that it may use by itself, without any citizen (client credentials, RFC 6749 §4.4).
    pub own_scopes: Vec<String>,
    /// Whether it belongs to the same organisation as this provider.
    pub first_party: bool,
}

/// A service that clients use by themselves, in nobody's name, for instance the notary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The word that opens it.
    pub scope: String,
    /// The audience of its tokens.
    pub audience: ClientId,
}

/// What a client may learn about the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The pairwise subject. Always asked.
    Openid,
    /// The name.
    Profile,
    /// The internal number and the national number: for the citizen's own portal only.
    Person,
}

impl Scope {
    /// Every scope of this provider.
    pub const ALL: [Self; 3] = [Self::Openid, Self::Profile, Self::Person];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Openid => "openid",
            Self::Profile => "profile",
            Self::Person => "person",
        }
    }

    /// The scope of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A service as the consent screen describes it.
#[derive(Clone, Debug)]
pub struct ServiceNotice {
    /// The service.
    pub service: ServiceId,
    /// The organisation that holds the data.
    pub provider: Text,
    /// What the service gives, as the object of a sentence: "vos revenus déclarés".
    pub name: Text,
    /// Each field: its code and its words.
    pub fields: Vec<(String, Text)>,
    /// The law under which the data are held and shared.
    pub law: Text,
    /// What the citizen loses by refusing.
    pub refusal: Text,
    /// The level that the login must have reached.
    pub acr_min: Acr,
}

/// The settings of the provider. Nothing here is secret.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// The issuer URL, without a final slash: `http://localhost:8601`.
    pub issuer: String,
    /// The organisation that runs the provider.
    pub organisation: Text,
    /// The WebAuthn relying party id: a host name, never an address; it cannot be changed once passkeys exist.
    pub rp_id: String,
    /// The citizen portal, for people who come here without a request.
    pub portal_url: String,
    /// Where citizens manage what they allowed, shown on the consent screen.
    pub withdraw_url: String,
    /// The clients.
    pub clients: Vec<Client>,
    /// The services that clients may ask for.
    pub services: Vec<ServiceNotice>,
    /// The services that clients may use by themselves.
    pub resources: Vec<Resource>,
}

impl IdentityConfig {
    /// The client with this id.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// The notice of this service.
    pub fn notice(&self, service: &ServiceId) -> Option<&ServiceNotice> {
        self.services.iter().find(|notice| notice.service == *service)
    }

    /// The service that this scope opens to clients by themselves.
    pub(crate) fn resource(&self, scope: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.scope == scope)
    }

    /// Whether the pages are served over TLS.
    pub fn is_secure(&self) -> bool {
        self.issuer.starts_with("https://")
    }

    /// Refuses settings that could not work or would not be safe.
    pub fn check(&self) -> Result<(), IdentityError> {
        let fault = |text: String| Err(IdentityError::Config(text));
        if !is_web_url(&self.issuer) || self.issuer.ends_with('/') || self.issuer.contains(['?', '#']) {
            return fault(format!("issuer `{}` must be an http(s) URL without final slash or query", self.issuer));
        }
        if self.rp_id.is_empty() || self.rp_id.parse::<std::net::IpAddr>().is_ok() {
            return fault("rp_id must be a host name, not an address (WebAuthn L3 §5.1.2)".to_owned());
        }
        for (position, resource) in self.resources.iter().enumerate() {
            let scope = &resource.scope;
            let fits =
                !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
            let twice = self.resources.iter().skip(position + 1).any(|other| other.scope == *scope);
            if !fits || twice || Scope::from_word(scope).is_some() {
                return fault(format!("the scope `{scope}` of a service is no word (RFC 6749 §3.3), or is taken"));
            }
        }
        for (position, client) in self.clients.iter().enumerate() {
            if self.clients.iter().skip(position + 1).any(|other| other.id == client.id) {
                return fault(format!("client `{}` is listed twice", client.id));
            }
            if client.redirect_uris.is_empty() && client.own_scopes.is_empty() {
                return fault(format!("client `{}` has no redirect_uri", client.id));
            }
            if let Some(scope) = client.own_scopes.iter().find(|scope| self.resource(scope).is_none()) {
                return fault(format!("client `{}`: no service has the scope `{scope}`", client.id));
            }
            for uri in client.redirect_uris.iter().chain(&client.post_logout_redirect_uris) {
                if !is_web_url(uri) || uri.contains('#') {
                    return fault(format!("client `{}`: `{uri}` is no absolute URL without fragment", client.id));
                }
            }
            if client.scopes.contains(&Scope::Person) && !client.first_party {
                return fault(format!("client `{}`: only a first-party client may ask the scope person", client.id));
            }
            if let Some(service) = client.services.iter().find(|service| self.notice(service).is_none()) {
                return fault(format!("client `{}`: the service {service} has no notice to show", client.id));
            }
        }
        Ok(())
    }
}

/// An absolute http or https URL of reasonable length without spaces or controls.
fn is_web_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.len() <= 2_000
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\'))
}
