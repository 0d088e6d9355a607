use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use ::store::StoreError;
use civic::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use trust::digest;

use super::error::ApiError;
use super::store;
use crate::config::ApiLimits;
use crate::core::Core;

/// A role of a key; the words are X-Road's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// Keys and certificates.
    XroadSecurityOfficer,
    /// Clients and their registration.
    XroadRegistrationOfficer,
    /// Services and who may use them.
    XroadServiceAdministrator,
    /// The node itself: backups, diagnostics, keys of this API.
    XroadSystemAdministrator,
    /// Looks, changes nothing.
    XroadSecurityserverObserver,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::XroadSecurityOfficer,
        Self::XroadRegistrationOfficer,
        Self::XroadServiceAdministrator,
        Self::XroadSystemAdministrator,
        Self::XroadSecurityserverObserver,
    ];

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::XroadSecurityOfficer => "XROAD_SECURITY_OFFICER",
            Self::XroadRegistrationOfficer => "XROAD_REGISTRATION_OFFICER",
            Self::XroadServiceAdministrator => "XROAD_SERVICE_ADMINISTRATOR",
            Self::XroadSystemAdministrator => "XROAD_SYSTEM_ADMINISTRATOR",
            Self::XroadSecurityserverObserver => "XROAD_SECURITYSERVER_OBSERVER",
        }
    }
}

/// The text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no role; the roles are XROAD_SECURITY_OFFICER, XROAD_REGISTRATION_OFFICER, XROAD_SERVICE_ADMINISTRATOR, XROAD_SYSTEM_ADMINISTRATOR, XROAD_SECURITYSERVER_OBSERVER"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let known = Self::ALL.into_iter().find(|role| role.word() == text);
        known.ok_or_else(|| UnknownRole(text.chars().take(64).collect()))
    }
}

/// The holder of a key.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) number: i64,
    pub(super) roles: Vec<Role>,
}

/// Who calls: the key in the header `Authorization: X-Road-ApiKey token=…`.
pub(super) async fn authenticate(core: &Core, headers: &HeaderMap) -> Result<Holder, ApiError> {
    let refused = |what: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", what);
    let missing = || refused("send the header `Authorization: X-Road-ApiKey token=KEY`");
    let value = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, rest) = value.trim().split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("X-Road-ApiKey") {
        return Err(missing());
    }
    let key = rest.trim().strip_prefix("token=").ok_or_else(missing)?;
    let holder = holder_of_key(core, key).await?.map(|(number, roles)| Holder { number, roles });
    holder.ok_or_else(|| refused("this key is not known: it was revoked, or never made here"))
}

/// The number and roles of a key, where it is known.
pub(crate) async fn holder_of_key(core: &Core, key: &str) -> Result<Option<(i64, Vec<Role>)>, StoreError> {
    let digest = digest::sha256(key.as_bytes());
    let holder = core.log.store().read("bridge.find_api_key", move |tx| store::key_by_digest(tx, &digest)).await?;
    Ok(holder.map(|holder| (holder.number, holder.roles)))
}

/// The present roles of a key by its number; none where it was revoked.
pub(crate) async fn holder(core: &Core, number: i64) -> Result<Option<(i64, Vec<Role>)>, StoreError> {
    let keys = core.log.store().read("bridge.read_api_keys", store::keys).await?;
    Ok(keys.into_iter().find(|holder| holder.number == number).map(|holder| (holder.number, holder.roles)))
}

/// Counts calls for each key and address, in windows of a second and of a minute.
#[derive(Default)]
pub(crate) struct RateLimiter {
    windows: Mutex<HashMap<(Option<i64>, IpAddr), Windows>>,
}

#[derive(Clone, Copy, Default)]
struct Windows {
    second: (i64, u32),
    minute: (i64, u32),
}

/// Counters that are kept; when there are more, those of past minutes go.
const COUNTERS_MAX: usize = 10_000;

impl RateLimiter {
    /// Counts a call, or refuses it.
    pub(super) fn admit(&self, who: (Option<i64>, IpAddr), limits: &ApiLimits, now: Timestamp) -> Result<(), ApiError> {
        let (second, minute) = (now.micros() / 1_000_000, now.micros() / 60_000_000);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= COUNTERS_MAX {
            windows.retain(|_, kept| kept.minute.0 == minute);
        }
        let full = windows.len() >= COUNTERS_MAX && !windows.contains_key(&who);
        let kept = if full { None } else { Some(windows.entry(who).or_default()) };
        let within = kept.is_some_and(|kept| {
            count(&mut kept.second, second, limits.calls_per_second_max)
                & count(&mut kept.minute, minute, limits.calls_per_minute_max)
        });
        if within {
            return Ok(());
        }
        let what = "too many calls with this key from this address: wait, then call less often";
        Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", what))
    }
}

fn count(window: &mut (i64, u32), present: i64, max: u32) -> bool {
    if window.0 != present {
        *window = (present, 0);
    }
    window.1 = window.1.saturating_add(1);
    window.1 <= max
}
