use std::time::Duration;

use civic::{PersonId, Timestamp};
use store::{Tx, params};
use trust::digest::constant_time_eq;

use super::Tables;
use super::accounts::count;
use crate::error::IdentityError;
use crate::throttle::ThrottlePolicy;

/// How long a code holds.
const CODE_LIFETIME: Duration = Duration::from_mins(5);
/// Attempts at one code.
const ATTEMPTS_MAX: u32 = 5;
/// Messages in one login.
const SENT_MAX: u32 = 3;
/// Pause between two messages of one login.
const RESEND_PAUSE: Duration = Duration::from_secs(30);

/// What became of the wish to send a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmsSent {
    /// It is on its way.
    Queued,
    /// A message left in this login so recently; wait this long for another.
    Recent(Duration),
    /// This phone has had its messages for now; wait this long.
    Wait(Duration),
    /// This login has had its messages.
    TooMany,
}

/// What became of a typed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SmsCheck {
    /// Right; it does not work again.
    Right,
    /// Wrong, with attempts left.
    Wrong,
    /// Over: too old, used, or tried too often. A new one is needed.
    Over,
}

impl Tables {
    /// Makes a code for this login and queues its message, both or neither. `key` names the message.
    pub(crate) async fn send_sms_code(
        &self,
        flow_hash: &[u8],
        person: &PersonId,
        code: &str,
        message: SmsMessage,
        now: Timestamp,
    ) -> Result<SmsSent, IdentityError> {
        let mac = self.sms_mac(flow_hash, person, code);
        let flow_hash = flow_hash.to_vec();
        self.store.tx("identity.send_sms_code", move |tx| send(tx, &flow_hash, &mac, &message, now)).await
    }

    /// Checks a code. Each call counts as an attempt, before the comparison.
    pub(crate) async fn check_sms_code(
        &self,
        flow_hash: &[u8],
        person: &PersonId,
        code: &str,
        now: Timestamp,
    ) -> Result<SmsCheck, IdentityError> {
        let mac = self.sms_mac(flow_hash, person, code);
        let flow_hash = flow_hash.to_vec();
        self.store
            .tx("identity.check_sms_code", move |tx| {
                let row = tx.query_one(
                    "SELECT code_mac, attempts, expires_at FROM identity_sms_codes WHERE flow_hash = $1",
                    &params![&flow_hash],
                )?;
                let Some(row) = row else { return Ok(SmsCheck::Over) };
                let attempts: u32 = row.get("attempts")?;
                if attempts >= ATTEMPTS_MAX || row.get::<Timestamp>("expires_at")? <= now {
                    return Ok(SmsCheck::Over);
                }
                let is_right = constant_time_eq(&row.get::<Vec<u8>>("code_mac")?, &mac);
                let counted = if is_right { ATTEMPTS_MAX } else { attempts + 1 };
                tx.execute(
                    "UPDATE identity_sms_codes SET attempts = $1 WHERE flow_hash = $2",
                    &params![counted, &flow_hash],
                )?;
                Ok(match (is_right, counted) {
                    (true, _) => SmsCheck::Right,
                    (false, ATTEMPTS_MAX) => SmsCheck::Over,
                    (false, _) => SmsCheck::Wrong,
                })
            })
            .await
    }

    /// A code holds for one login of one person: a message to one's own phone opens nobody else's account.
    fn sms_mac(&self, flow_hash: &[u8], person: &PersonId, code: &str) -> Vec<u8> {
        self.mac("sms", &[flow_hash, person.as_str().as_bytes(), code.as_bytes()].concat())
    }
}

/// A message that waits in the queue `sms`: sealed, because a code and a phone number stand in it.
#[derive(Clone, Debug)]
pub(crate) struct SmsMessage {
    /// The random key of the message in the queue.
    pub(crate) key: String,
    /// The sealed JSON of phone and text.
    pub(crate) sealed: Vec<u8>,
    /// The key under which messages to this phone are rationed.
    pub(crate) phone_key: Vec<u8>,
}

fn send(
    tx: &mut Tx<'_>,
    flow_hash: &[u8],
    mac: &[u8],
    message: &SmsMessage,
    now: Timestamp,
) -> Result<SmsSent, IdentityError> {
    let row =
        tx.query_one("SELECT sent_count, sent_at FROM identity_sms_codes WHERE flow_hash = $1", &params![flow_hash])?;
    let (sent_count, sent_at) = match row {
        Some(row) => (row.get::<u32>("sent_count")?, row.get::<Timestamp>("sent_at")?),
        None => (0, Timestamp::from_micros(0)),
    };
    if sent_count >= SENT_MAX {
        return Ok(SmsSent::TooMany);
    }
    let wait = RESEND_PAUSE.saturating_sub(now.since(sent_at));
    if sent_count > 0 && !wait.is_zero() {
        return Ok(SmsSent::Recent(wait));
    }
    if let Err(wait) = count(tx, &[(message.phone_key.clone(), ThrottlePolicy::SMS)], now)? {
        return Ok(SmsSent::Wait(wait));
    }
    tx.execute(
        "INSERT INTO identity_sms_codes (flow_hash, code_mac, attempts, sent_count, sent_at, expires_at) \
         VALUES ($1, $2, 0, 1, $3, $4) ON CONFLICT (flow_hash) DO UPDATE SET code_mac = excluded.code_mac, attempts = 0, \
         sent_count = identity_sms_codes.sent_count + 1, sent_at = excluded.sent_at, expires_at = excluded.expires_at",
        &params![flow_hash, mac, now, now.plus(CODE_LIFETIME)],
    )?;
    store::queue::enqueue(tx, super::SMS_QUEUE, &message.key, &message.sealed, now)?;
    Ok(SmsSent::Queued)
}
