//! The bridge between a consent screen and the consent service.

use civic::{Locale, PersonId, Timestamp};

use crate::assurance::Authentication;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::request::AuthorizationRequest;

impl Identity {
    /// Whether grants can be recorded.
    pub(crate) const fn has_consent_service(&self) -> bool {
        false
    }

    /// Records what the citizen allowed; answers the grant's id and end.
    pub(crate) async fn record_grant(
        &self,
        _request: &AuthorizationRequest,
        _login: &Authentication,
        _locale: Locale,
        _notice_hash: &str,
    ) -> Result<(String, Timestamp), IdentityError> {
        Err(IdentityError::Grant("no consent service is connected".to_owned()))
    }

    /// A code came twice: the grant behind it ends, because somebody else may hold its tokens.
    pub(crate) async fn revoke_after_reuse(&self, _grant_id: &str, _person: &PersonId) -> Result<(), IdentityError> {
        Err(IdentityError::Grant("no consent service is connected".to_owned()))
    }
}
