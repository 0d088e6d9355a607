//! The structures of RFC 6960 appendix B.1.
#![expect(clippy::unnested_or_patterns, reason = "der's derive of CHOICE writes them")]

use der::asn1::{Any, BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString};
use der::{Choice, Enumerated, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use super::{OcspRefusal, OcspStatus};
use crate::asn1::{generalized, moment_of_generalized};

#[derive(Sequence)]
pub(super) struct OcspRequest {
    pub(super) signed: TbsRequest,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) signature: Option<Any>,
}

#[derive(Sequence)]
pub(super) struct TbsRequest {
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) version: Option<u8>,
    #[asn1(context_specific = "1", optional = "true")]
    pub(super) requestor: Option<Any>,
    pub(super) requests: Vec<Request>,
    #[asn1(context_specific = "2", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Sequence)]
pub(super) struct Request {
    pub(super) id: CertId,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Sequence)]
pub(super) struct CertId {
    pub(super) algorithm: AlgorithmIdentifierOwned,
    pub(super) issuer_name: OctetString,
    pub(super) issuer_key: OctetString,
    pub(super) serial: SerialNumber,
}

#[derive(Sequence)]
pub(super) struct OcspResponse {
    pub(super) status: ResponseStatus,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) bytes: Option<ResponseBytes>,
}

#[derive(Clone, Copy, Enumerated)]
#[repr(u8)]
pub(super) enum ResponseStatus {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

impl ResponseStatus {
    pub(super) fn refusal(self) -> Option<OcspRefusal> {
        match self {
            Self::Successful => None,
            Self::MalformedRequest => Some(OcspRefusal::MalformedRequest),
            Self::InternalError => Some(OcspRefusal::InternalError),
            Self::TryLater => Some(OcspRefusal::TryLater),
            Self::SigRequired => Some(OcspRefusal::SignatureRequired),
            Self::Unauthorized => Some(OcspRefusal::Unauthorized),
        }
    }
}

#[derive(Sequence)]
pub(super) struct ResponseBytes {
    pub(super) kind: ObjectIdentifier,
    pub(super) response: OctetString,
}

#[derive(Sequence)]
pub(super) struct BasicResponse {
    pub(super) signed: Any,
    pub(super) algorithm: AlgorithmIdentifierOwned,
    pub(super) signature: BitString,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) certificates: Option<Vec<Any>>,
}

#[derive(Sequence)]
pub(super) struct ResponseData {
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) version: Option<u8>,
    pub(super) responder: ResponderId,
    pub(super) produced_at: GeneralizedTime,
    pub(super) answers: Vec<SingleResponse>,
    #[asn1(context_specific = "1", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Choice)]
pub(super) enum ResponderId {
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", constructed = "true")]
    ByName(Name),
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    ByKey(OctetString),
}

#[derive(Sequence)]
pub(super) struct SingleResponse {
    pub(super) id: CertId,
    pub(super) status: CertStatus,
    pub(super) this_update: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Choice)]
pub(super) enum CertStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(RevokedInfo),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

impl CertStatus {
    pub(super) fn write(status: OcspStatus) -> der::Result<Self> {
        Ok(match status {
            OcspStatus::Good => Self::Good(Null),
            OcspStatus::Revoked { at } => Self::Revoked(RevokedInfo { time: generalized(at)?, reason: None }),
            OcspStatus::Unknown => Self::Unknown(Null),
        })
    }

    pub(super) fn read(&self) -> OcspStatus {
        match self {
            Self::Good(_) => OcspStatus::Good,
            Self::Revoked(info) => OcspStatus::Revoked { at: moment_of_generalized(info.time) },
            Self::Unknown(_) => OcspStatus::Unknown,
        }
    }
}

#[derive(Sequence)]
pub(super) struct RevokedInfo {
    pub(super) time: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) reason: Option<Any>,
}
