//! Translations: one Fluent file a crate and a language, checked when they are loaded.

use std::collections::BTreeSet;
use std::fmt;

use civic::Locale;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};

/// Words that come in every language of the house and belong to data, not to a page: the name of an organisation, of a card.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text {
    /// In French.
    pub fr: String,
    /// In English.
    pub en: String,
}

impl Text {
    /// Both languages at once.
    pub fn new(fr: impl Into<String>, en: impl Into<String>) -> Self {
        Self { fr: fr.into(), en: en.into() }
    }

    /// A proper name, the same in every language.
    pub fn name(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { fr: name.clone(), en: name }
    }

    /// The words of one language.
    pub fn get(&self, locale: Locale) -> &str {
        match locale {
            Locale::Fr => &self.fr,
            Locale::En => &self.en,
        }
    }
}

/// A value that a message shows: `{ $count }`.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// Words; put in as they are (the page escapes them).
    Text(String),
    /// A number; it also chooses the plural form.
    Number(i64),
}

macro_rules! arg_from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Arg {
            fn from(number: $number) -> Self {
                Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        impl From<&$number> for Arg {
            fn from(number: &$number) -> Self {
                Self::from(*number)
            }
        }
        impl From<&&$number> for Arg {
            fn from(number: &&$number) -> Self {
                Self::from(**number)
            }
        }
    )*};
}
arg_from_number!(i64, i32, u32, u64, usize);

macro_rules! arg_from_text {
    ($($text:ty),*) => {$(
        impl From<$text> for Arg {
            fn from(text: $text) -> Self {
                Self::Text(text.to_string())
            }
        }
    )*};
}
arg_from_text!(&str, &&str, String, &String, &&String);

/// A translation file that cannot be used. Loading happens at start and in tests, so none reaches a reader.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum I18nError {
    /// The file is not valid Fluent.
    #[error("the {locale} translations are not valid Fluent: {reason}; see projectfluent.org for the syntax")]
    Syntax {
        /// The language of the file.
        locale: Locale,
        /// What the parser said.
        reason: String,
    },
    /// The same key twice.
    #[error("the {locale} translations define a key twice: {reason}; remove one")]
    Twice {
        /// The language of the file.
        locale: Locale,
        /// Which key.
        reason: String,
    },
    /// The languages do not say the same things.
    #[error("the {locale} translations lack {missing:?}; every key exists in every language")]
    Missing {
        /// The language with the gap.
        locale: Locale,
        /// The keys that another language has.
        missing: Vec<String>,
    },
    /// A language is absent.
    #[error("no {locale} translations were given; every language of civic::Locale::ALL is needed")]
    Absent {
        /// The language.
        locale: Locale,
    },
}

/// The messages of one crate in every language, on top of the few that all pages share (`web-…`).
pub struct Messages {
    languages: Vec<(Locale, FluentBundle<FluentResource>)>,
}

impl fmt::Debug for Messages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Messages").field("languages", &self.languages.len()).finish()
    }
}

const SHARED: [(Locale, &str); 2] = [
    (Locale::Fr, include_str!("../../../translations/fr/web.ftl")),
    (Locale::En, include_str!("../../../translations/en/web.ftl")),
];

impl Messages {
    /// Reads `translations/<locale>/<crate>.ftl`, given as text: `Messages::load(&[(Locale::Fr, include_str!(…)), …])`.
    ///
    /// Refuses a file with a syntax error and languages whose keys differ, so a page never shows a bare key.
    pub fn load(files: &[(Locale, &str)]) -> Result<Self, I18nError> {
        let mut languages = Vec::new();
        let mut keys: Vec<(Locale, BTreeSet<String>)> = Vec::new();
        for locale in Locale::ALL {
            if !files.is_empty() && !files.iter().any(|(given, _)| *given == locale) {
                return Err(I18nError::Absent { locale });
            }
            let tag: unic_langid::LanguageIdentifier = locale.tag().parse().unwrap_or_default();
            let mut bundle = FluentBundle::new_concurrent(vec![tag]);
            bundle.set_use_isolating(false);
            let mut known = BTreeSet::new();
            for (_, source) in SHARED.iter().chain(files).filter(|(given, _)| *given == locale) {
                let resource = FluentResource::try_new((*source).to_owned())
                    .map_err(|(_, errors)| I18nError::Syntax { locale, reason: format!("{errors:?}") })?;
                known.extend(ids(source));
                bundle
                    .add_resource(resource)
                    .map_err(|errors| I18nError::Twice { locale, reason: format!("{errors:?}") })?;
            }
            languages.push((locale, bundle));
            keys.push((locale, known));
        }
        for (_, theirs) in &keys {
            for (locale, ours) in &keys {
                let missing: Vec<String> = theirs.difference(ours).cloned().collect();
                if !missing.is_empty() {
                    return Err(I18nError::Missing { locale: *locale, missing });
                }
            }
        }
        Ok(Self { languages })
    }

    /// The message of a key. A key that is nowhere is logged and shown as itself.
    pub fn t(&self, locale: Locale, key: &str, args: &[(&str, Arg)]) -> String {
        let bundle = self.languages.iter().find(|(known, _)| *known == locale).map(|(_, bundle)| bundle);
        let Some((bundle, pattern)) = bundle.and_then(|bundle| Some((bundle, bundle.get_message(key)?.value()?)))
        else {
            tracing::error!(key, %locale, "a page asked for a translation that does not exist");
            return key.to_owned();
        };
        let mut values = FluentArgs::new();
        for (name, value) in args {
            let value = match value {
                Arg::Text(text) => FluentValue::from(text.clone()),
                Arg::Number(number) => FluentValue::from(*number),
            };
            values.set((*name).to_owned(), value);
        }
        let mut errors = Vec::new();
        let text = bundle.format_pattern(pattern, Some(&values), &mut errors).into_owned();
        if !errors.is_empty() {
            tracing::error!(key, %locale, ?errors, "a translation lacks a value");
        }
        text
    }

    /// Whether the key exists (for keys made from data, such as a purpose code).
    pub fn has(&self, locale: Locale, key: &str) -> bool {
        self.languages.iter().any(|(known, bundle)| *known == locale && bundle.has_message(key))
    }
}

/// The keys of a Fluent source: identifiers at the start of a line before `=`.
fn ids(source: &str) -> impl Iterator<Item = String> + '_ {
    source.lines().filter_map(|line| {
        let (name, _) = line.split_once('=')?;
        let name = name.trim_end();
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '-');
        let word = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_');
        (starts && word).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_words_exist_in_every_language() {
        let messages = Messages::load(&[]).unwrap();
        assert_eq!(messages.t(Locale::Fr, "web-skip", &[]), "Aller au contenu");
        assert_eq!(messages.t(Locale::En, "web-skip", &[]), "Skip to content");
    }

    #[test]
    fn values_and_plurals_are_put_in() {
        let files = [
            (Locale::Fr, "n = { $n ->\n    [one] { $n } accès par { $who }\n   *[other] { $n } accès de { $who }\n}\n"),
            (
                Locale::En,
                "n = { $n ->\n    [one] { $n } access by { $who }\n   *[other] { $n } accesses by { $who }\n}\n",
            ),
        ];
        let messages = Messages::load(&files).unwrap();
        assert_eq!(messages.t(Locale::Fr, "n", &[("n", 0_i64.into()), ("who", "X".into())]), "0 accès par X");
        assert_eq!(messages.t(Locale::En, "n", &[("n", 2_usize.into()), ("who", "X".into())]), "2 accesses by X");
    }

    #[test]
    fn languages_that_say_different_things_are_refused() {
        let error = Messages::load(&[(Locale::Fr, "a = A\nb = B\n"), (Locale::En, "a = A\n")]).unwrap_err();
        assert_eq!(error, I18nError::Missing { locale: Locale::En, missing: vec!["b".to_owned()] });
    }

    #[test]
    fn a_broken_file_or_a_key_given_twice_is_refused() {
        assert!(matches!(
            Messages::load(&[(Locale::Fr, "a = {\n"), (Locale::En, "a = A\n")]),
            Err(I18nError::Syntax { .. })
        ));
        assert!(matches!(
            Messages::load(&[(Locale::Fr, "web-skip = A\n"), (Locale::En, "web-skip = A\n")]),
            Err(I18nError::Twice { .. })
        ));
        assert!(matches!(Messages::load(&[(Locale::Fr, "a = A\n")]), Err(I18nError::Absent { locale: Locale::En })));
    }

    #[test]
    fn an_unknown_key_shows_itself() {
        assert_eq!(Messages::load(&[]).unwrap().t(Locale::Fr, "nowhere", &[]), "nowhere");
    }
}
