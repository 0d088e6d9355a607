use std::fmt;

use serde::{Deserialize, Serialize};

/// A language that people can read the pages in. French is the source; English is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// French, the first language of the house.
    #[default]
    Fr,
    /// English.
    En,
}

impl Locale {
    /// Every locale, the source first.
    pub const ALL: [Self; 2] = [Self::Fr, Self::En];

    /// The language tag of BCP 47: `fr` or `en`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
        }
    }

    /// The locale of a tag such as `en-GB`; `None` for a language that is not offered.
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "fr" => Some(Self::Fr),
            "en" => Some(Self::En),
            _ => None,
        }
    }

    /// The best offered locale for an `Accept-Language` header (RFC 9110 §12.5.4); French where none fits.
    pub fn negotiate(accept_language: &str) -> Self {
        let mut best = (Self::Fr, 0.0_f32);
        for range in accept_language.split(',').take(32) {
            let mut parts = range.split(';');
            let Some(locale) = parts.next().map(str::trim).and_then(Self::from_tag) else { continue };
            let quality = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |text| text.trim().parse::<f32>().unwrap_or(0.0));
            if quality > best.1 {
                best = (locale, quality);
            }
        }
        best.0
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.tag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_heard_and_french_is_the_default() {
        assert_eq!(Locale::negotiate("en-GB,en;q=0.8,fr;q=0.5"), Locale::En);
        assert_eq!(Locale::negotiate("wo,fr-SN;q=0.9,en;q=0.1"), Locale::Fr);
        assert_eq!(Locale::negotiate("wo"), Locale::Fr);
        assert_eq!(Locale::negotiate(""), Locale::Fr);
    }
}
