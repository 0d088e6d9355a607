//! Between the consent screen and the consent service.

use civic::{Locale, Timestamp};
use consent::{GrantError, NewGrant};

use crate::assurance::{Amr, Authentication};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::request::AuthorizationRequest;

impl Identity {
    /// Records what the citizen allowed; answers the grant's id and end.
    pub(crate) async fn record_grant(
        &self,
        request: &AuthorizationRequest,
        login: &Authentication,
        locale: Locale,
        notice_hash: &str,
    ) -> Result<(String, Timestamp), IdentityError> {
        let missing = |what: &str| IdentityError::Grant(format!("{what} is missing"));
        let grants = self.grants.as_ref().ok_or_else(|| missing("the consent service"))?;
        let details = request.details.clone().ok_or_else(|| missing("the request for a service"))?;
        let client = self.inner.config.client(&request.client_id).ok_or_else(|| missing("the client"))?;
        let account = self.inner.tables.account(&login.person).await?.ok_or_else(|| missing("the account"))?;
        let new = NewGrant {
            person: login.person.clone(),
            national_number: account.national_number,
            client: client.member.clone(),
            service: details.service,
            fields: details.fields,
            years: details.years,
            purpose: details.purpose,
            valid_for_days: details.valid_for_days,
            uses_max: details.uses,
            locale,
            notice_hash: notice_hash.to_owned(),
            acr: login.acr.as_str().to_owned(),
            amr: login.amr.iter().map(|method| Amr::as_str(*method).to_owned()).collect(),
            auth_time: login.at,
        };
        let grant = grants.create(new).await.map_err(|error| IdentityError::Grant(error.to_string()))?;
        Ok((grant.id, grant.valid_until))
    }

    /// A code came twice: the grant behind it ends, because somebody else may hold its tokens.
    pub(crate) async fn revoke_after_reuse(&self, grant_id: &str) -> Result<(), IdentityError> {
        let Some(grants) = &self.grants else { return Ok(()) };
        match grants.revoke_stolen(grant_id).await {
            Ok(_) | Err(GrantError::Ended) => Ok(()),
            Err(error) => Err(IdentityError::Grant(error.to_string())),
        }
    }
}
