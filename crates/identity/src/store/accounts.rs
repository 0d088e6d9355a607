use std::time::Duration;

use civic::{NationalNumber, PersonId, Timestamp};
use store::{Row, Sealer, StoreError, Tx, params};

use super::{Tables, is_taken, json, open_text, to_json};
use crate::account::{Account, NewCitizen, normal_activation_code};
use crate::assurance::Acr;
use crate::error::IdentityError;
use crate::throttle::{Throttle, ThrottlePolicy};

pub(super) const ACCOUNTS: &str = "identity_accounts";
const ACCOUNT_COLUMNS: &str =
    "person, number_sealed, name_sealed, phone_sealed, pin_hash, activation_mac, activated_at";

/// What happened to an account.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) person: PersonId,
    pub(crate) kind: &'static str,
    pub(crate) client_id: Option<String>,
    pub(crate) acr: Option<Acr>,
    /// Which key it is about.
    pub(crate) key_id: Option<String>,
    /// The salt of its commitment, where it is an act: drawn before the transaction, which may run twice.
    pub(crate) salt: [u8; 32],
}

/// A passkey row.
#[derive(Clone, Debug)]
pub(crate) struct StoredPasskey {
    pub(crate) credential_id: Vec<u8>,
    pub(crate) person: PersonId,
    pub(crate) passkey: webauthn_rs::prelude::Passkey,
    pub(crate) acr_bound: Acr,
}

impl Tables {
    /// Adds accounts, a thousand a transaction. A person who is enrolled already stays as they are; answers how many were new.
    pub(crate) async fn enrol(
        &self,
        citizens: Vec<(NewCitizen, Option<String>)>,
        now: Timestamp,
    ) -> Result<u64, IdentityError> {
        let mut added = 0;
        let mut rest = citizens;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(1_000));
            let chunk = std::mem::replace(&mut rest, later);
            added += self
                .store
                .tx("identity.enrol", move |tx| {
                    let mut added = 0;
                    for (citizen, pin_hash) in &chunk {
                        added += insert_account(tx, citizen, pin_hash.as_deref(), now)?;
                    }
                    Ok::<u64, IdentityError>(added)
                })
                .await?;
        }
        Ok(added)
    }

    pub(crate) async fn account_by_number(&self, number: &NationalNumber) -> Result<Option<Account>, IdentityError> {
        let number = number.clone();
        self.store
            .read("identity.account_by_number", move |tx| {
                let index = tx.sealer().blind_index(ACCOUNTS, "number", number.as_str().as_bytes());
                let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM identity_accounts WHERE number_index = $1");
                let row = tx.query_one(&sql, &params![index])?;
                row.map(|row| account(&row, tx.sealer())).transpose()
            })
            .await
    }

    pub(crate) async fn account(&self, person: &PersonId) -> Result<Option<Account>, IdentityError> {
        let person = person.clone();
        self.store
            .read("identity.account", move |tx| {
                let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM identity_accounts WHERE person = $1");
                let row = tx.query_one(&sql, &params![person.as_str()])?;
                row.map(|row| account(&row, tx.sealer())).transpose()
            })
            .await
    }

    /// Marks the letter as used. `false` where it was used before: somebody was faster.
    pub(crate) async fn activate(&self, event: Event, now: Timestamp) -> Result<bool, IdentityError> {
        self.store
            .tx("identity.activate", move |tx| {
                let changed = tx.execute(
                    "UPDATE identity_accounts SET activated_at = $1, activation_mac = NULL \
                     WHERE person = $2 AND activated_at IS NULL",
                    &params![now, event.person.as_str()],
                )?;
                if changed == 1 {
                    insert_event(tx, &event, now)?;
                }
                Ok(changed == 1)
            })
            .await
    }

    pub(crate) async fn set_pin(&self, pin_hash: String, event: Event, now: Timestamp) -> Result<(), IdentityError> {
        self.store
            .tx("identity.set_pin", move |tx| {
                tx.execute(
                    "UPDATE identity_accounts SET pin_hash = $1 WHERE person = $2",
                    &params![&pin_hash, event.person.as_str()],
                )?;
                insert_event(tx, &event, now)
            })
            .await
    }

    pub(crate) async fn record(&self, event: Event, now: Timestamp) -> Result<(), IdentityError> {
        self.store.tx("identity.record", move |tx| insert_event(tx, &event, now)).await
    }

    pub(crate) async fn passkeys_of(&self, person: &PersonId) -> Result<Vec<StoredPasskey>, IdentityError> {
        let person = person.clone();
        self.store
            .read("identity.passkeys_of", move |tx| {
                let rows = tx.query(
                    "SELECT credential_id, person, passkey, acr_bound FROM identity_passkeys \
                     WHERE person = $1 ORDER BY created_at LIMIT 50",
                    &params![person.as_str()],
                )?;
                rows.iter().map(stored_passkey).collect()
            })
            .await
    }

    pub(crate) async fn passkey(&self, credential_id: &[u8]) -> Result<Option<StoredPasskey>, IdentityError> {
        let credential_id = credential_id.to_vec();
        self.store
            .read("identity.passkey", move |tx| {
                let row = tx.query_one(
                    "SELECT credential_id, person, passkey, acr_bound FROM identity_passkeys \
                     WHERE credential_id = $1",
                    &params![&credential_id],
                )?;
                row.as_ref().map(stored_passkey).transpose()
            })
            .await
    }

    /// Adds a passkey. `false` where this credential is registered already, for whomever.
    pub(crate) async fn add_passkey(
        &self,
        passkey: StoredPasskey,
        event: Event,
        now: Timestamp,
    ) -> Result<bool, IdentityError> {
        let added = self
            .store
            .tx("identity.add_passkey", move |tx| {
                tx.execute(
                    "INSERT INTO identity_passkeys (credential_id, person, passkey, acr_bound, created_at) \
                     VALUES ($1, $2, $3, $4, $5)",
                    &params![
                        &passkey.credential_id,
                        passkey.person.as_str(),
                        to_json("identity_passkeys", &passkey.passkey)?,
                        passkey.acr_bound.as_str(),
                        now
                    ],
                )?;
                insert_event(tx, &event, now)
            })
            .await;
        match added {
            Ok(()) => Ok(true),
            Err(IdentityError::Store(error)) if is_taken(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps the counter and flags that the authenticator reported.
    pub(crate) async fn touch_passkey(&self, passkey: StoredPasskey, now: Timestamp) -> Result<(), IdentityError> {
        self.store
            .tx("identity.touch_passkey", move |tx| {
                tx.execute(
                    "UPDATE identity_passkeys SET passkey = $1, used_at = $2 WHERE credential_id = $3",
                    &params![to_json("identity_passkeys", &passkey.passkey)?, now, &passkey.credential_id],
                )?;
                Ok(())
            })
            .await
    }

    /// Counts one attempt against each key, before it is checked. `Err` of the inner result: how long to wait; nothing counted.
    pub(crate) async fn attempt(
        &self,
        keys: Vec<(Vec<u8>, ThrottlePolicy)>,
        now: Timestamp,
    ) -> Result<Result<(), Duration>, IdentityError> {
        self.store.tx("identity.attempt", move |tx| Ok(count(tx, &keys, now)?)).await
    }

    /// A success: the account's memory is wiped, the source's attempt is taken back.
    pub(crate) async fn forgive(&self, account_key: Vec<u8>, source_key: Vec<u8>) -> Result<(), IdentityError> {
        self.store
            .tx("identity.forgive", move |tx| {
                tx.execute("DELETE FROM identity_throttles WHERE throttle_key = $1", &params![&account_key])?;
                tx.execute(
                    "UPDATE identity_throttles SET failures = failures - 1 WHERE throttle_key = $1 AND failures > 0",
                    &params![&source_key],
                )?;
                Ok(())
            })
            .await
    }
}

fn insert_account(
    tx: &mut Tx<'_>,
    citizen: &NewCitizen,
    pin_hash: Option<&str>,
    now: Timestamp,
) -> Result<u64, IdentityError> {
    let row = citizen.person.as_str();
    let sealer = tx.sealer();
    let number = citizen.national_number.as_str().as_bytes();
    let code = normal_activation_code(&citizen.activation_code);
    let values = params![
        row,
        sealer.blind_index(ACCOUNTS, "number", number),
        sealer.seal(ACCOUNTS, "number", row, number)?,
        sealer.seal(ACCOUNTS, "name", row, citizen.display_name.as_bytes())?,
        citizen.phone.as_ref().map(|phone| sealer.seal(ACCOUNTS, "phone", row, phone.as_bytes())).transpose()?,
        pin_hash,
        sealer.blind_index("identity", "activation", format!("{row}:{code}").as_bytes()),
        now
    ];
    let added = tx.execute(
        "INSERT INTO identity_accounts (person, number_index, number_sealed, name_sealed, phone_sealed, pin_hash, \
         activation_mac, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        &values,
    )?;
    Ok(added)
}

pub(super) fn insert_event(tx: &mut Tx<'_>, event: &Event, now: Timestamp) -> Result<(), IdentityError> {
    tx.execute(
        "INSERT INTO identity_events (id, person, at, kind, client_id, acr, key_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![
            &event.id,
            event.person.as_str(),
            now,
            event.kind,
            event.client_id.clone(),
            event.acr.map(Acr::as_str),
            event.key_id.clone()
        ],
    )?;
    super::acts::commit(tx, event, now)?;
    Ok(())
}

/// Counts one attempt against each key, or says how long to wait and counts nothing.
pub(super) fn count(
    tx: &mut Tx<'_>,
    keys: &[(Vec<u8>, ThrottlePolicy)],
    now: Timestamp,
) -> Result<Result<(), Duration>, StoreError> {
    let mut counted = Vec::with_capacity(keys.len());
    for (key, policy) in keys {
        let throttle = read_throttle(tx, key)?;
        let wait = throttle.wait(policy, now);
        if !wait.is_zero() {
            return Ok(Err(wait));
        }
        counted.push((key, throttle.counted(policy, now)));
    }
    for (key, throttle) in counted {
        tx.execute(
            "INSERT INTO identity_throttles (throttle_key, failures, last_at) VALUES ($1, $2, $3) \
             ON CONFLICT (throttle_key) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at",
            &params![key, throttle.failures, throttle.last],
        )?;
    }
    Ok(Ok(()))
}

fn read_throttle(tx: &mut Tx<'_>, key: &[u8]) -> Result<Throttle, StoreError> {
    let row =
        tx.query_one("SELECT failures, last_at FROM identity_throttles WHERE throttle_key = $1", &params![key])?;
    row.map_or(Ok(Throttle::fresh()), |row| Ok(Throttle { failures: row.get("failures")?, last: row.get("last_at")? }))
}

fn account(row: &Row, sealer: &Sealer) -> Result<Account, IdentityError> {
    let person: String = row.get("person")?;
    let bad = |reason: String| IdentityError::Row { table: ACCOUNTS, reason };
    let number = open_text(sealer, ACCOUNTS, "number", &person, &row.get::<Vec<u8>>("number_sealed")?)?;
    let phone = row.get::<Option<Vec<u8>>>("phone_sealed")?;
    Ok(Account {
        national_number: number.parse().map_err(|error| bad(format!("number: {error}")))?,
        display_name: open_text(sealer, ACCOUNTS, "name", &person, &row.get::<Vec<u8>>("name_sealed")?)?,
        phone: phone.map(|sealed| open_text(sealer, ACCOUNTS, "phone", &person, &sealed)).transpose()?,
        pin_hash: row.get("pin_hash")?,
        activation_mac: row.get("activation_mac")?,
        activated_at: row.get("activated_at")?,
        person: person.parse().map_err(|error| bad(format!("person: {error}")))?,
    })
}

fn stored_passkey(row: &Row) -> Result<StoredPasskey, IdentityError> {
    let bad = |reason: String| IdentityError::Row { table: "identity_passkeys", reason };
    Ok(StoredPasskey {
        credential_id: row.get("credential_id")?,
        person: row.get::<String>("person")?.parse().map_err(|error| bad(format!("person: {error}")))?,
        passkey: json(row, "identity_passkeys", "passkey")?,
        acr_bound: row.get::<String>("acr_bound")?.parse().map_err(|error| bad(format!("acr_bound: {error}")))?,
    })
}
