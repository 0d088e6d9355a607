//! Passkeys (WebAuthn Level 3): discoverable, with user verification. The challenges come from webauthn-rs's own generator:
//! a repeatable challenge is no challenge.

use civic::PersonId;
use serde_json::Value;
use trust::digest::sha256;
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::assurance::Authentication;
use crate::client::IdentityConfig;
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::login::{Completed, LoginFault};
use crate::store::{Event, Flow, Step, StoredPasskey};

/// Most passkeys of one person.
const PASSKEYS_MAX: usize = 20;
/// How long a challenge waits for its answer, in seconds.
const CHALLENGE_SECONDS: u64 = 300;
const LOGIN: &str = "login";
const REGISTER: &str = "register";

/// The WebAuthn relying party of one provider.
pub(crate) struct Passkeys {
    webauthn: Webauthn,
}

impl Passkeys {
    pub(crate) fn new(config: &IdentityConfig) -> Result<Self, IdentityError> {
        let bad = |reason: String| IdentityError::Config(format!("passkeys: {reason}"));
        let origin = Url::parse(&config.issuer).map_err(|error| bad(error.to_string()))?;
        let builder = WebauthnBuilder::new(&config.rp_id, &origin).map_err(|error| bad(error.to_string()))?;
        let webauthn = builder
            .rp_name(&config.organisation.fr)
            .timeout(std::time::Duration::from_secs(CHALLENGE_SECONDS))
            .build()
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self { webauthn })
    }
}

impl Identity {
    /// The options for `navigator.credentials.get`: any passkey of this site.
    pub(crate) async fn passkey_login_options(&self, flow: &Flow) -> Result<Value, LoginFault> {
        let (mut options, state) =
            self.inner.passkeys.webauthn.start_discoverable_authentication().map_err(prepared)?;
        // A button asks for it, not the autofill of a field.
        options.mediation = None;
        self.keep_challenge(flow, LOGIN, &state).await?;
        written(&options)
    }

    /// Checks the answer of the authenticator; the challenge is spent either way.
    pub(crate) async fn login_by_passkey(&self, flow: &Flow, answer: Value) -> Result<Completed, LoginFault> {
        let state: DiscoverableAuthentication = self.take_challenge(flow, LOGIN).await?;
        let answer: PublicKeyCredential = serde_json::from_value(answer).map_err(|_| LoginFault::NotRecognised)?;
        let webauthn = &self.inner.passkeys.webauthn;
        let (handle, credential_id) =
            webauthn.identify_discoverable_authentication(&answer).map_err(|_| LoginFault::NotRecognised)?;
        let stored = self.inner.tables.passkey(credential_id).await?.ok_or(LoginFault::NotRecognised)?;
        if handle != self.user_handle(&stored.person) {
            return Err(LoginFault::NotRecognised);
        }
        let result = webauthn
            .finish_discoverable_authentication_v2(&answer, state, &stored.passkey)
            .map_err(|error| refused(&error))?;
        let now = self.inner.clock.now();
        let mut used = stored.clone();
        used.passkey.update_credential(&result);
        self.inner.tables.touch_passkey(used, now).await?;
        let authentication = Authentication::by_passkey(stored.person, result.backup_eligible(), stored.acr_bound, now);
        self.advance(flow, Step::Done).await?;
        self.record_login(flow, &authentication, now).await?;
        let bind = Some(authentication.acr);
        Ok(Completed { authentication, bind })
    }

    /// The options for `navigator.credentials.create`.
    pub(crate) async fn passkey_options(&self, flow: &Flow, person: &PersonId) -> Result<Value, LoginFault> {
        let account = self.inner.tables.account(person).await?.ok_or(LoginFault::NotRecognised)?;
        let known = self.inner.tables.passkeys_of(person).await?;
        if known.len() >= PASSKEYS_MAX {
            return Err(LoginFault::NotRecognised);
        }
        let known: Vec<CredentialID> = known.into_iter().map(|one| one.credential_id).collect();
        let (options, state) = self
            .inner
            .passkeys
            .webauthn
            .start_passkey_registration(
                self.user_handle(person),
                &account.display_name,
                &account.display_name,
                Some(known),
            )
            .map_err(prepared)?;
        self.keep_challenge(flow, REGISTER, &state).await?;
        let mut options = written(&options)?;
        // Discoverable, so that the citizen types no number next time (WebAuthn §5.4.6). webauthn-rs leaves it to the browser.
        if let Some(selection) = options.pointer_mut("/publicKey/authenticatorSelection").and_then(Value::as_object_mut)
        {
            selection.insert("residentKey".to_owned(), "required".into());
            selection.insert("requireResidentKey".to_owned(), true.into());
        }
        Ok(options)
    }

    /// Keeps a new passkey, bound to the level of the login it was made under.
    pub(crate) async fn add_passkey(
        &self,
        flow: &Flow,
        person: &PersonId,
        bind: crate::assurance::Acr,
        answer: Value,
    ) -> Result<(), LoginFault> {
        let state: PasskeyRegistration = self.take_challenge(flow, REGISTER).await?;
        let answer: RegisterPublicKeyCredential =
            serde_json::from_value(answer).map_err(|_| LoginFault::NotRecognised)?;
        let passkey: Passkey = self
            .inner
            .passkeys
            .webauthn
            .finish_passkey_registration(&answer, &state)
            .map_err(|error| refused(&error))?;
        let stored = StoredPasskey {
            credential_id: passkey.cred_id().clone(),
            person: person.clone(),
            passkey,
            acr_bound: bind,
        };
        let event = self.event(person, "passkey_added", Some(&flow.request.client_id), None);
        let event = Event { key_id: Some(hex(&sha256(&stored.credential_id))), ..event };
        let added = self.inner.tables.add_passkey(stored, event, self.inner.clock.now()).await?;
        if added { Ok(()) } else { Err(LoginFault::NotRecognised) }
    }

    /// The user handle of WebAuthn §5.4.3: random-looking, the same for ever, and no number that means anything elsewhere.
    fn user_handle(&self, person: &PersonId) -> Uuid {
        let mac = self.inner.tables.mac("user-handle", person.as_str().as_bytes());
        let mut bytes = [0_u8; 16];
        for (byte, from) in bytes.iter_mut().zip(mac) {
            *byte = from;
        }
        Uuid::from_bytes(bytes)
    }

    async fn keep_challenge(
        &self,
        flow: &Flow,
        kind: &'static str,
        state: &impl serde::Serialize,
    ) -> Result<(), LoginFault> {
        let state = serde_json::to_string(state).map_err(|error| IdentityError::Passkey(error.to_string()))?;
        let until = self.inner.clock.now().plus(std::time::Duration::from_secs(CHALLENGE_SECONDS));
        Ok(self.inner.tables.put_ceremony(&flow.hash, kind, state, until).await?)
    }

    async fn take_challenge<T: serde::de::DeserializeOwned>(
        &self,
        flow: &Flow,
        kind: &'static str,
    ) -> Result<T, LoginFault> {
        let now = self.inner.clock.now();
        let state = self.inner.tables.take_ceremony(&flow.hash, kind, now).await?.ok_or(LoginFault::NotRecognised)?;
        Ok(serde_json::from_str(&state).map_err(|error| IdentityError::Passkey(error.to_string()))?)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

fn prepared(error: WebauthnError) -> LoginFault {
    LoginFault::Ours(IdentityError::Passkey(error.to_string()))
}

fn refused(error: &WebauthnError) -> LoginFault {
    tracing::info!(%error, "a passkey was not accepted");
    LoginFault::NotRecognised
}

fn written(options: &impl serde::Serialize) -> Result<Value, LoginFault> {
    Ok(serde_json::to_value(options).map_err(|error| IdentityError::Passkey(error.to_string()))?)
}
