//! For tests of the portal and of the whole house: a citizen who is logged in, without the identity provider's pages.

use civic::{NationalNumber, PersonId, SharedClock, SharedRandom};
use store::Store;
use web::{SessionConfig, SessionError, Sessions};

use crate::http::{Known, Memory};

/// Logs a citizen in and answers the cookie, `name=value`, of a portal over plain http on this store.
pub async fn log_in(
    store: &Store,
    clock: SharedClock,
    random: SharedRandom,
    person: PersonId,
    number: NationalNumber,
    name: &str,
) -> Result<String, SessionError> {
    store.migrate(&[web::session::migration()]).await?;
    let sessions = Sessions::new(store.clone(), SessionConfig::new("portal", false), clock, random);
    let known = Known { person, number, name: name.to_owned(), id_token: String::new() };
    let (_, cookie) = sessions.start(Memory { citizen: Some(known), ..Memory::default() }).await?;
    let pair = cookie.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    Ok(pair.to_owned())
}
