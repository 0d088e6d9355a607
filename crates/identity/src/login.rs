//! The steps of a login without a passkey: number and PIN, letter, SMS. Values in, values out; the pages are in `http`.

use std::time::Duration;

use civic::{Locale, NationalNumber, PersonId, Timestamp, random_hex};
use serde::{Deserialize, Serialize};
use trust::digest::constant_time_eq;
use web::Arg;

use crate::account::{Account, draw_digits, normal_activation_code, normal_digits, weak_pin};
use crate::assurance::{Acr, Authentication};
use crate::error::IdentityError;
use crate::identity::Identity;
use crate::store::{Flow, SmsCheck, SmsMessage, SmsSent, Step};
use crate::throttle::ThrottlePolicy;

/// Where a right answer leads.
#[derive(Debug)]
pub(crate) enum Next {
    /// The code of the letter is needed.
    Letter,
    /// A code is on its way to the phone.
    Sms,
    /// The login is complete.
    Complete(Completed),
}

/// A complete login.
#[derive(Debug)]
pub(crate) struct Completed {
    pub(crate) authentication: Authentication,
    /// The level under which a passkey may be made now; `None` where the login was too weak for that.
    pub(crate) bind: Option<Acr>,
}

/// Why the login does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginFault {
    /// What was typed is not right; which part is not told.
    #[error("not recognised")]
    NotRecognised,
    /// Too many attempts, or too many messages: wait.
    #[error("wait")]
    Wait(Duration),
    /// The code by SMS is over; a new one is needed.
    #[error("the code is over")]
    CodeOver,
    /// This login has had all its messages: start again later.
    #[error("no more messages")]
    NoMoreMessages,
    /// The chosen PIN is too easy, or the two entries differ.
    #[error("the PIN is not good")]
    WeakPin,
    /// The two entries of the new PIN differ.
    #[error("the entries differ")]
    PinsDiffer,
    /// The flow stands at another step: another window was faster, or the back button was used.
    #[error("another step")]
    OtherStep,
    /// Our failure.
    #[error(transparent)]
    Ours(#[from] IdentityError),
}

impl From<store::StoreError> for LoginFault {
    fn from(error: store::StoreError) -> Self {
        Self::Ours(error.into())
    }
}

/// A message as it waits in the queue, sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SmsPayload {
    pub(crate) phone: String,
    pub(crate) text: String,
}

impl Identity {
    /// National number and PIN. Unknown number, account without PIN and wrong PIN give one answer after the same work.
    pub(crate) async fn login_by_pin(
        &self,
        flow: &Flow,
        source: &str,
        locale: Locale,
        number: &str,
        pin: &str,
    ) -> Result<Next, LoginFault> {
        let number: NationalNumber = number.parse().map_err(|_| LoginFault::NotRecognised)?;
        self.count_attempt(&number, source).await?;
        let account = self.inner.tables.account_by_number(&number).await?;
        let stored = account.as_ref().and_then(|account| account.pin_hash.clone());
        let fits = self.check_pin(normal_digits(pin), stored).await?;
        let Some(account) = account.filter(|_| fits) else { return Err(LoginFault::NotRecognised) };
        if !account.is_active() {
            self.advance(flow, Step::Letter { person: account.person }).await?;
            return Ok(Next::Letter);
        }
        self.after_secrets(flow, source, locale, account, (true, false)).await
    }

    /// The code of the letter, after the PIN of the letter was right.
    pub(crate) async fn login_by_letter(
        &self,
        flow: &Flow,
        source: &str,
        locale: Locale,
        code: &str,
    ) -> Result<Next, LoginFault> {
        let Step::Letter { person } = &flow.step else { return Err(LoginFault::OtherStep) };
        let account = self.inner.tables.account(person).await?.ok_or(LoginFault::NotRecognised)?;
        self.count_attempt(&account.national_number, source).await?;
        if !self.is_letter_code(Some(&account), code) {
            return Err(LoginFault::NotRecognised);
        }
        self.after_secrets(flow, source, locale, account, (true, true)).await
    }

    /// First use: national number and the code of the letter. Unknown number, used letter and wrong code give one answer.
    pub(crate) async fn first_use(
        &self,
        flow: &Flow,
        source: &str,
        locale: Locale,
        number: &str,
        code: &str,
    ) -> Result<Next, LoginFault> {
        let number: NationalNumber = number.parse().map_err(|_| LoginFault::NotRecognised)?;
        self.count_attempt(&number, source).await?;
        let account = self.inner.tables.account_by_number(&number).await?;
        let fits = self.is_letter_code(account.as_ref(), code);
        let Some(account) = account.filter(|_| fits) else { return Err(LoginFault::NotRecognised) };
        self.after_secrets(flow, source, locale, account, (false, true)).await
    }

    /// The code by SMS.
    pub(crate) async fn login_by_sms(&self, flow: &Flow, source: &str, code: &str) -> Result<Next, LoginFault> {
        let Step::Sms { person, pin, letter } = &flow.step else { return Err(LoginFault::OtherStep) };
        let account = self.inner.tables.account(person).await?.ok_or(LoginFault::NotRecognised)?;
        self.count_attempt(&account.national_number, source).await?;
        let now = self.inner.clock.now();
        match self.inner.tables.check_sms_code(&flow.hash, person, &normal_digits(code), now).await? {
            SmsCheck::Right => self.complete(flow, source, account, (*pin, *letter, true)).await,
            SmsCheck::Wrong => Err(LoginFault::NotRecognised),
            SmsCheck::Over => Err(LoginFault::CodeOver),
        }
    }

    /// Another message for the same login.
    pub(crate) async fn resend_sms(&self, flow: &Flow, locale: Locale) -> Result<(), LoginFault> {
        let Step::Sms { person, .. } = &flow.step else { return Err(LoginFault::OtherStep) };
        let account = self.inner.tables.account(person).await?.ok_or(LoginFault::NotRecognised)?;
        self.send_sms(flow, &account, locale).await
    }

    /// Sets the PIN that the citizen chose right after a login.
    pub(crate) async fn choose_pin(&self, person: &PersonId, pin: &str, again: &str) -> Result<(), LoginFault> {
        let (pin, again) = (normal_digits(pin), normal_digits(again));
        let account = self.inner.tables.account(person).await?.ok_or(LoginFault::NotRecognised)?;
        if weak_pin(&pin) || account.national_number.as_str().contains(&pin) {
            return Err(LoginFault::WeakPin);
        }
        if pin != again {
            return Err(LoginFault::PinsDiffer);
        }
        let hash = self.hash_pin(pin).await?;
        let event = self.event(person, "pin_changed", None, None);
        self.inner.tables.set_pin(hash, event, self.inner.clock.now()).await?;
        Ok(())
    }

    /// Counts an attempt against the number, whether it is known or not, and against the source, before it is checked.
    async fn count_attempt(&self, number: &NationalNumber, source: &str) -> Result<(), LoginFault> {
        let keys = vec![
            (self.account_key(number), ThrottlePolicy::ACCOUNT),
            (self.source_key(source), ThrottlePolicy::SOURCE),
        ];
        let counted = self.inner.tables.attempt(keys, self.inner.clock.now()).await?;
        counted.map_err(LoginFault::Wait)
    }

    fn account_key(&self, number: &NationalNumber) -> Vec<u8> {
        self.inner.tables.mac("throttle-account", number.as_str().as_bytes())
    }

    fn source_key(&self, source: &str) -> Vec<u8> {
        self.inner.tables.mac("throttle-source", source.as_bytes())
    }

    fn is_letter_code(&self, account: Option<&Account>, code: &str) -> bool {
        let code = normal_activation_code(code);
        let row = account.map_or("0000000000", |account| account.person.as_str());
        let mac = self.inner.tables.mac("activation", format!("{row}:{code}").as_bytes());
        let stored = account.and_then(|account| account.activation_mac.as_deref());
        constant_time_eq(stored.unwrap_or(&[0; 32]), &mac) && stored.is_some()
    }

    /// After number with PIN or letter: the phone where there is one, else the login is complete.
    async fn after_secrets(
        &self,
        flow: &Flow,
        source: &str,
        locale: Locale,
        account: Account,
        (pin, letter): (bool, bool),
    ) -> Result<Next, LoginFault> {
        if account.phone.is_none() {
            return self.complete(flow, source, account, (pin, letter, false)).await;
        }
        let next = Step::Sms { person: account.person.clone(), pin, letter };
        match self.send_sms(flow, &account, locale).await {
            // The same step a second time, by the back button or a double click: the message that left is good.
            Err(LoginFault::Wait(_)) if flow.step == next => {}
            other => other?,
        }
        self.advance(flow, next).await?;
        Ok(Next::Sms)
    }

    async fn send_sms(&self, flow: &Flow, account: &Account, locale: Locale) -> Result<(), LoginFault> {
        let Some(phone) = account.phone.clone() else { return Err(LoginFault::OtherStep) };
        let now = self.inner.clock.now();
        let key = self.inner.tables.mac("throttle-sms", phone.as_bytes());
        let code = draw_digits(self.inner.random.as_ref());
        let text = self.inner.messages.t(locale, "identity-sms-text", &[("code", Arg::from(code.as_str()))]);
        let payload =
            serde_json::to_vec(&SmsPayload { phone, text }).map_err(|error| IdentityError::Sms(error.to_string()))?;
        let message_key = random_hex::<16>(self.inner.random.as_ref());
        let sealed = self.inner.store.sealer().seal("store_queue", "payload", &message_key, &payload)?;
        let message = SmsMessage { key: message_key, sealed, phone_key: key };
        match self.inner.tables.send_sms_code(&flow.hash, &account.person, &code, message, now).await? {
            SmsSent::Queued => Ok(()),
            SmsSent::Recent(pause) | SmsSent::Wait(pause) => Err(LoginFault::Wait(pause)),
            SmsSent::TooMany => Err(LoginFault::NoMoreMessages),
        }
    }

    /// The last factor was right: uses up the letter, forgives the attempts, records the login.
    async fn complete(
        &self,
        flow: &Flow,
        source: &str,
        account: Account,
        (pin, letter, sms): (bool, bool, bool),
    ) -> Result<Next, LoginFault> {
        let now = self.inner.clock.now();
        self.advance(flow, Step::Done).await?;
        let person = account.person.clone();
        if letter && !self.inner.tables.activate(self.event(&person, "activated", None, None), now).await? {
            return Err(LoginFault::NotRecognised);
        }
        let authentication = Authentication::by_codes(person, pin, letter, sms, now);
        self.inner.tables.forgive(self.account_key(&account.national_number), self.source_key(source)).await?;
        self.record_login(flow, &authentication, now).await?;
        // The letter reached the citizen through the civil service, so a passkey made right after it is as good as one made
        // after PIN and SMS. A PIN alone may not make one: whoever spied it out would gain a stronger key.
        let bind = if sms || letter { Some(Acr::Substantial) } else { None };
        Ok(Next::Complete(Completed { authentication, bind }))
    }

    pub(crate) async fn record_login(
        &self,
        flow: &Flow,
        authentication: &Authentication,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let client = Some(flow.request.client_id.as_str());
        let event = self.event(&authentication.person, "login", client, Some(authentication.acr));
        self.inner.tables.record(event, now).await
    }

    pub(crate) async fn advance(&self, flow: &Flow, to: Step) -> Result<(), LoginFault> {
        if flow.step == to || self.inner.tables.move_flow(&flow.hash, &flow.step, to).await? {
            return Ok(());
        }
        Err(LoginFault::OtherStep)
    }
}
