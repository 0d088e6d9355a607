use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where the present comes from. An argument everywhere, so that a test can move it.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, UTC.
    fn now(&self) -> Timestamp;
}

/// The clock as the handles of the house keep it.
pub type SharedClock = Arc<dyn Clock>;

/// A moment: microseconds since 1970-01-01T00:00:00Z, leap seconds ignored. It is stored as such in both engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the Unix epoch (JWT `NumericDate`); saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// From milliseconds since the Unix epoch; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment moved forward; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This moment moved back; saturates.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC, with as many fractional digits as are needed: `2026-11-21T22:40:00Z`.
    pub fn rfc3339(self) -> String {
        self.calendar().format(&Rfc3339).unwrap_or_default()
    }

    /// RFC 3339 in UTC with three fractional digits, always as long: `2026-11-21T22:40:00.000Z`. Smaller parts are left out.
    pub fn rfc3339_millis(self) -> String {
        let time = self.calendar();
        let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
        let (hour, minute, second) = time.to_hms();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", time.millisecond())
    }

    /// Reads RFC 3339 with any offset (also the `xsd:dateTime` forms that carry a zone).
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let parsed = OffsetDateTime::parse(text.trim(), &Rfc3339)
            .map_err(|error| TimestampError { text: text.chars().take(64).collect(), reason: error.to_string() })?;
        let micros = parsed.unix_timestamp_nanos().div_euclid(1_000);
        Ok(Self(i64::try_from(micros).unwrap_or(i64::MAX)))
    }

    /// The calendar date and time in UTC. Moments outside the years -9999..9999 become the epoch.
    pub fn calendar(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// From a calendar date and time.
    pub fn from_calendar(moment: OffsetDateTime) -> Self {
        Self(i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.rfc3339())
    }
}

/// A text that is no RFC 3339 moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a date and time of RFC 3339 (for instance 2026-11-21T22:40:00Z): {reason}")]
pub struct TimestampError {
    text: String,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_its_text() {
        let moment = Timestamp::from_micros(1_795_300_800_123_456);
        assert_eq!(Timestamp::parse_rfc3339(&moment.rfc3339()), Ok(moment));
        let millis = Timestamp::from_millis(1_795_300_800_007);
        assert_eq!(Timestamp::parse_rfc3339(&millis.rfc3339_millis()), Ok(millis));
        assert_eq!(Timestamp::from_seconds(0).rfc3339_millis(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn an_offset_is_brought_to_utc() {
        let dakar = Timestamp::parse_rfc3339("2026-11-21T12:00:00Z").unwrap();
        let brazzaville = Timestamp::parse_rfc3339("2026-11-21T13:00:00+01:00").unwrap();
        assert_eq!(dakar, brazzaville);
    }

    #[test]
    fn since_never_goes_below_zero() {
        let early = Timestamp::from_seconds(1);
        let late = Timestamp::from_seconds(3);
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
