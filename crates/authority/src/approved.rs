//! Certification and time-stamping authorities that the federation trusts beside the authority's own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trust::cert::{Certificate, MemberNameProfile};
use trust::digest::sha256;
use trust::globalconf::{AcmeServer, ApprovedCa, ApprovedTsa, CaInfo, CostType, CsrFormat, OcspInfo};

use crate::AuthorityError;

/// An approved authority. Certificates are DER in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Approval {
    /// A certification authority.
    Ca {
        /// Its name, for people.
        name: String,
        /// Its certificate, the trust anchor.
        certificate: String,
        /// Whether its certificates are for TLS between nodes only.
        #[serde(default)]
        authentication_only: bool,
        /// Authorities between the anchor and the certificates of members.
        #[serde(default)]
        intermediates: Vec<Intermediate>,
        /// Its OCSP responders.
        #[serde(default)]
        ocsp: Vec<Responder>,
        /// The certificate profile by the Java class name that X-Road's nodes know.
        certificate_profile: String,
        /// What the profile means: data, where the class name is none of those that we know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<MemberNameProfile>,
        /// The form in which it wants certificate requests: PEM or DER.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        csr_format: Option<String>,
        /// Where certificates can be had automatically: the ACME directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        acme_directory: Option<String>,
    },
    /// A time-stamping authority.
    Tsa {
        /// Its name, for people.
        name: String,
        /// The certificate that it signs with.
        certificate: String,
        /// Where it answers.
        url: String,
        /// FREE, PAID or UNDEFINED.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<String>,
    },
}

/// An authority below an approved one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intermediate {
    /// Its certificate.
    pub certificate: String,
    /// Its OCSP responders.
    #[serde(default)]
    pub ocsp: Vec<Responder>,
}

/// An OCSP responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Responder {
    /// Where it answers.
    pub url: String,
    /// Its certificate, where the authority does not delegate by certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// FREE, PAID or UNDEFINED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
}

impl Approval {
    /// By which it is withdrawn: SHA-256 of its certificate, hexadecimal.
    pub fn id(&self) -> Result<String, AuthorityError> {
        let (Self::Ca { certificate, .. } | Self::Tsa { certificate, .. }) = self;
        Ok(hex::encode(sha256(&der(certificate)?)))
    }

    /// `ca` or `tsa`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Ca { .. } => "ca",
            Self::Tsa { .. } => "tsa",
        }
    }

    /// Whether every certificate can be read, an authority is one, and a profile is known or given.
    pub(crate) fn check(&self) -> Result<(), AuthorityError> {
        let wrong = |reason: String| Err(AuthorityError::Settings(reason));
        match self {
            Self::Tsa { certificate, cost, .. } => {
                if !Certificate::from_der(&der(certificate)?)?.is_time_stamping() {
                    return wrong("the certificate is not for time stamps (extended key usage)".to_owned());
                }
                check_cost(cost.as_deref())
            }
            Self::Ca { certificate, intermediates, ocsp, certificate_profile, profile, csr_format, .. } => {
                let tops = std::iter::once(certificate).chain(intermediates.iter().map(|below| &below.certificate));
                for top in tops {
                    if !Certificate::from_der(&der(top)?)?.is_ca() {
                        return wrong("a certificate is of no certification authority".to_owned());
                    }
                }
                for responder in ocsp.iter().chain(intermediates.iter().flat_map(|below| &below.ocsp)) {
                    check_cost(responder.cost.as_deref())?;
                    responder
                        .certificate
                        .as_deref()
                        .map(|text| Ok::<_, AuthorityError>(Certificate::from_der(&der(text)?)?))
                        .transpose()?;
                }
                if let Some(format) = csr_format.as_deref().filter(|name| csr_format_of(name).is_none()) {
                    return wrong(format!("the form of requests `{format}` is none of PEM, DER"));
                }
                match profile {
                    Some(profile) if profile.class_name != *certificate_profile => {
                        wrong("the profile has another class name than the authority asks for".to_owned())
                    }
                    None if MemberNameProfile::of_class_name(certificate_profile).is_none() => wrong(format!(
                        "the certificate profile `{certificate_profile}` is not known here; describe it in `profile`"
                    )),
                    _ => Ok(()),
                }
            }
        }
    }

    /// What the profile means, where it was given.
    pub(crate) const fn profile(&self) -> Option<&MemberNameProfile> {
        match self {
            Self::Ca { profile, .. } => profile.as_ref(),
            Self::Tsa { .. } => None,
        }
    }

    /// As the configuration tells a certification authority.
    pub(crate) fn ca(&self) -> Option<ApprovedCa> {
        let Self::Ca { name, certificate, authentication_only, intermediates, ocsp, certificate_profile, .. } = self
        else {
            return None;
        };
        let Self::Ca { csr_format, acme_directory, .. } = self else { return None };
        let info = |certificate: &str, ocsp: &[Responder]| {
            Some(CaInfo { cert: der(certificate).ok()?, ocsp: ocsp.iter().map(Responder::info).collect() })
        };
        let below = intermediates.iter().filter_map(|below| info(&below.certificate, &below.ocsp));
        Some(ApprovedCa {
            name: name.clone(),
            authentication_only: *authentication_only,
            top: info(certificate, ocsp)?,
            intermediates: below.collect(),
            certificate_profile: certificate_profile.clone(),
            csr_format: csr_format.as_deref().and_then(csr_format_of),
            acme: acme_directory
                .as_ref()
                .map(|directory| AcmeServer { directory_url: directory.clone(), ..AcmeServer::default() }),
        })
    }

    /// As the configuration tells a time-stamping authority.
    pub(crate) fn tsa(&self) -> Option<ApprovedTsa> {
        let Self::Tsa { name, certificate, url, cost } = self else { return None };
        let cost = cost.as_deref().and_then(cost_of);
        Some(ApprovedTsa { name: name.clone(), url: url.clone(), cert: der(certificate).ok()?, cost })
    }
}

impl Responder {
    fn info(&self) -> OcspInfo {
        OcspInfo {
            url: self.url.clone(),
            cert: self.certificate.as_deref().and_then(|text| der(text).ok()),
            cost: self.cost.as_deref().and_then(cost_of),
        }
    }
}

fn der(text: &str) -> Result<Vec<u8>, AuthorityError> {
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| AuthorityError::Settings("a certificate is not DER in base64".to_owned()))
}

fn cost_of(name: &str) -> Option<CostType> {
    CostType::ALL.into_iter().find(|cost| cost.name() == name)
}

fn csr_format_of(name: &str) -> Option<CsrFormat> {
    CsrFormat::ALL.into_iter().find(|format| format.name() == name)
}

fn check_cost(name: Option<&str>) -> Result<(), AuthorityError> {
    match name {
        Some(name) if cost_of(name).is_none() => {
            Err(AuthorityError::Settings(format!("the cost `{name}` is none of FREE, PAID, UNDEFINED")))
        }
        _ => Ok(()),
    }
}
