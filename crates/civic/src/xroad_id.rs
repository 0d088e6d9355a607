//! Identifiers of an X-Road federation (PR-REST §4.8, PR-MESS §2.1).
//!
//! A message between nodes names its parties a dozen times: a clone of an identifier shares its text and allocates nothing.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// Everything but the characters that RFC 3986 calls unreserved is escaped in a path segment.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'$')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The number of parts between slashes is wrong.
    #[error("`{text}` has {found} parts; {expected} are needed")]
    Parts {
        /// The text as it came, cut to 128 characters.
        text: String,
        /// How many parts it has.
        found: usize,
        /// How many it needs.
        expected: &'static str,
    },
    /// A part is empty, too long, not UTF-8, or holds a character that X-Road refuses.
    #[error("`{part}` is not allowed as part of an identifier: {reason}")]
    Part {
        /// The part as it came, cut to 128 characters.
        part: String,
        /// Why it is refused.
        reason: &'static str,
    },
}

/// A member of the federation: `INSTANCE/CLASS/CODE`, for instance `BB/GOV/1002`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberId(Arc<Member>);

/// `INSTANCE/CLASS/CODE`, decoded; no part has a slash, so the text says it all.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Member {
    text: Box<str>,
    class_at: usize,
    code_at: usize,
}

/// A client: a member, or one of its subsystems (`BB/COM/2001/credit`). Messages between nodes are sent by clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId {
    member: MemberId,
    subsystem: Option<Arc<str>>,
}

/// A service of a subsystem: `BB/GOV/1002/fisc/income-statement`; or of a member itself, which only SOAP can name:
/// `BB/GOV/1002/getSecurityServerMetrics`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceId {
    client: ClientId,
    code: Arc<str>,
}

/// A node (Security Server) of a member: `BB/GOV/1002/node-fisc`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerId {
    owner: MemberId,
    code: Arc<str>,
}

impl MemberId {
    /// Builds a member id from its three parts, decoded.
    pub fn new(instance: &str, class: &str, code: &str) -> Result<Self, IdError> {
        let (instance, class, code) = (checked(instance)?, checked(class)?, checked(code)?);
        let mut text = String::with_capacity(instance.len() + class.len() + code.len() + 2);
        text.push_str(instance);
        text.push('/');
        let class_at = text.len();
        text.push_str(class);
        text.push('/');
        let code_at = text.len();
        text.push_str(code);
        Ok(Self(Arc::new(Member { text: text.into(), class_at, code_at })))
    }

    /// The federation, for instance `BB`.
    pub fn instance(&self) -> &str {
        self.0.text.get(..self.0.class_at - 1).unwrap_or_default()
    }

    /// The class of the member, for instance `GOV`.
    pub fn class(&self) -> &str {
        self.0.text.get(self.0.class_at..self.0.code_at - 1).unwrap_or_default()
    }

    /// The code of the member within its class.
    pub fn code(&self) -> &str {
        self.0.text.get(self.0.code_at..).unwrap_or_default()
    }

    /// The subsystem of this member with that code.
    pub fn subsystem(&self, code: &str) -> Result<ClientId, IdError> {
        Ok(ClientId { member: self.clone(), subsystem: Some(checked(code)?.into()) })
    }

    /// The node of this member with that server code.
    pub fn server(&self, code: &str) -> Result<ServerId, IdError> {
        Ok(ServerId { owner: self.clone(), code: checked(code)?.into() })
    }
}

impl ClientId {
    /// A client that is the member itself.
    pub const fn of_member(member: MemberId) -> Self {
        Self { member, subsystem: None }
    }

    /// The member.
    pub const fn member(&self) -> &MemberId {
        &self.member
    }

    /// The code of the subsystem, where there is one.
    pub fn subsystem(&self) -> Option<&str> {
        self.subsystem.as_deref()
    }

    /// The service of this client with that code.
    pub fn service(&self, code: &str) -> Result<ServiceId, IdError> {
        Ok(ServiceId { client: self.clone(), code: checked(code)?.into() })
    }
}

impl ServiceId {
    /// The subsystem that provides it.
    pub const fn client(&self) -> &ClientId {
        &self.client
    }

    /// The service code.
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl ServerId {
    /// The member who owns the node.
    pub const fn owner(&self) -> &MemberId {
        &self.owner
    }

    /// The server code.
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl FromStr for MemberId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match decoded_parts(text)?.as_slice() {
            [instance, class, code] => Self::new(instance, class, code),
            parts => Err(wrong_parts(text, parts.len(), "instance/class/code")),
        }
    }
}

impl FromStr for ClientId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match decoded_parts(text)?.as_slice() {
            [instance, class, code] => Ok(Self::of_member(MemberId::new(instance, class, code)?)),
            [instance, class, code, subsystem] => MemberId::new(instance, class, code)?.subsystem(subsystem),
            parts => Err(wrong_parts(text, parts.len(), "instance/class/code[/subsystem]")),
        }
    }
}

impl FromStr for ServiceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match decoded_parts(text)?.as_slice() {
            [instance, class, code, subsystem, service] => {
                MemberId::new(instance, class, code)?.subsystem(subsystem)?.service(service)
            }
            [instance, class, code, service] => {
                ClientId::of_member(MemberId::new(instance, class, code)?).service(service)
            }
            parts => Err(wrong_parts(text, parts.len(), "instance/class/code[/subsystem]/service")),
        }
    }
}

impl FromStr for ServerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match decoded_parts(text)?.as_slice() {
            [instance, class, code, server] => MemberId::new(instance, class, code)?.server(server),
            parts => Err(wrong_parts(text, parts.len(), "instance/class/code/server")),
        }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(self.instance(), formatter)?;
        formatter.write_str("/")?;
        write_escaped(self.class(), formatter)?;
        formatter.write_str("/")?;
        write_escaped(self.code(), formatter)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.member.fmt(formatter)?;
        self.subsystem().map_or(Ok(()), |subsystem| write_below(subsystem, formatter))
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(formatter)?;
        write_below(&self.code, formatter)
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.fmt(formatter)?;
        write_below(&self.code, formatter)
    }
}

macro_rules! serde_as_text {
    ($($id:ty),+) => {$(
        impl TryFrom<String> for $id {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }
    )+};
}

serde_as_text!(MemberId, ClientId, ServiceId, ServerId);

fn write_below(part: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_str("/")?;
    write_escaped(part, formatter)
}

fn write_escaped(part: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    if is_plain(part) {
        return formatter.write_str(part);
    }
    fmt::Display::fmt(&utf8_percent_encode(part, SEGMENT), formatter)
}

/// Whether nothing in a part needs an escape or a second look: most parts are so.
fn is_plain(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn decoded_parts(text: &str) -> Result<Vec<Cow<'_, str>>, IdError> {
    let mut parts = Vec::with_capacity(5);
    for part in text.split('/').take(8) {
        let decoded = percent_decode_str(part).decode_utf8();
        parts.push(
            decoded.map_err(|_| IdError::Part { part: cut(part), reason: "it is not UTF-8 after percent-decoding" })?,
        );
    }
    Ok(parts)
}

fn wrong_parts(text: &str, found: usize, expected: &'static str) -> IdError {
    IdError::Parts { text: cut(text), found, expected }
}

/// The characters that X-Road's own validators refuse (bridge protocol facts §1.1), with a limit on the length.
fn checked(part: &str) -> Result<&str, IdError> {
    let reason = if (1..=255).contains(&part.len()) && is_plain(part) {
        return Ok(part);
    } else if part.is_empty() {
        "it is empty"
    } else if part.chars().count() > 255 {
        "it has more than 255 characters"
    } else if part == "." || part == ".." {
        "it is a relative path"
    } else if part.contains([':', ';', '/', '\\', '%']) {
        "it holds one of : ; / \\ %"
    } else if part.chars().any(|character| {
        character.is_control() || matches!(character, '\u{200b}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    }) {
        "it holds a control or invisible character"
    } else {
        return Ok(part);
    };
    Err(IdError::Part { part: cut(part), reason })
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_survive_their_text() {
        for text in ["BB/GOV/1000", "BB/COM/2001/credit", "BB/GOV/caf%C3%A9%20noir/x"] {
            assert_eq!(text.parse::<ClientId>().unwrap().to_string(), text);
        }
        let own: ServiceId = "BB/GOV/1002/getMetrics".parse().unwrap();
        assert_eq!(
            (own.client().subsystem(), own.code(), own.to_string().as_str()),
            (None, "getMetrics", "BB/GOV/1002/getMetrics")
        );
        let service: ServiceId = "BB/GOV/1002/fisc/income-statement".parse().unwrap();
        assert_eq!(service.code(), "income-statement");
        assert_eq!(serde_json::to_string(&service).unwrap(), "\"BB/GOV/1002/fisc/income-statement\"");
    }

    #[test]
    fn a_slash_hidden_in_an_escape_is_refused() {
        assert!(matches!("BB/GOV/10%2F02/fisc".parse::<ClientId>(), Err(IdError::Part { .. })));
        assert!(matches!("BB/GOV/%2e%2e/fisc".parse::<ClientId>(), Err(IdError::Part { .. })));
        assert!(matches!("BB/GOV/%ff/fisc".parse::<ClientId>(), Err(IdError::Part { .. })));
    }

    #[test]
    fn the_number_of_parts_is_checked() {
        assert!(matches!("BB/GOV".parse::<ClientId>(), Err(IdError::Parts { found: 2, .. })));
        assert!(matches!("BB/GOV/1/2/3".parse::<ClientId>(), Err(IdError::Parts { found: 5, .. })));
        assert!("BB//1/2".parse::<ClientId>().is_err());
    }
}
