use std::time::Duration;

use civic::Timestamp;
use store::{params, queue};

use super::{SMS_QUEUE, Tables, open_text};
use crate::error::IdentityError;
use crate::login::SmsPayload;

const HANDSET: &str = "identity_handset";
/// Messages delivered in one go.
const BATCH_MAX: u32 = 100;
/// Messages shown.
const SHOWN_MAX: i64 = 100;

/// A message that the simulated handset received.
#[derive(Clone, Debug)]
pub(crate) struct HandsetMessage {
    pub(crate) phone: String,
    pub(crate) text: String,
    pub(crate) received_at: Timestamp,
}

impl Tables {
    /// Moves waiting messages from the queue to the handset, in one transaction. Answers how many.
    pub(crate) async fn deliver_sms(&self, now: Timestamp) -> Result<usize, IdentityError> {
        self.store
            .tx("identity.deliver_sms", move |tx| {
                let claims = queue::claim(tx, SMS_QUEUE, now, Duration::from_mins(1), BATCH_MAX)?;
                let mut delivered = 0;
                for claim in &claims {
                    let plain = tx.sealer().open("store_queue", "payload", &claim.key, &claim.payload)?;
                    let Ok(payload) = serde_json::from_slice::<SmsPayload>(&plain) else {
                        queue::retry(tx, claim, now, 1, "the payload is no message of this version")?;
                        continue;
                    };
                    let phone = tx.sealer().seal(HANDSET, "phone", &claim.key, payload.phone.as_bytes())?;
                    let text = tx.sealer().seal(HANDSET, "text", &claim.key, payload.text.as_bytes())?;
                    tx.execute(
                        "INSERT INTO identity_handset (id, phone_sealed, text_sealed, received_at) \
                         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                        &params![&claim.key, phone, text, now],
                    )?;
                    queue::complete(tx, claim)?;
                    delivered += 1;
                }
                Ok(delivered)
            })
            .await
    }

    /// The latest messages, newest first.
    pub(crate) async fn handset_messages(&self) -> Result<Vec<HandsetMessage>, IdentityError> {
        self.store
            .read("identity.handset_messages", move |tx| {
                let rows = tx.query(
                    "SELECT id, phone_sealed, text_sealed, received_at FROM identity_handset \
                     ORDER BY received_at DESC, id LIMIT $1",
                    &params![SHOWN_MAX],
                )?;
                rows.iter()
                    .map(|row| {
                        let id: String = row.get("id")?;
                        let sealer = tx.sealer();
                        Ok(HandsetMessage {
                            phone: open_text(sealer, HANDSET, "phone", &id, &row.get::<Vec<u8>>("phone_sealed")?)?,
                            text: open_text(sealer, HANDSET, "text", &id, &row.get::<Vec<u8>>("text_sealed")?)?,
                            received_at: row.get("received_at")?,
                        })
                    })
                    .collect()
            })
            .await
    }
}
