//! The consent screen as a value: every sentence that the citizen reads before saying yes, and the digest that proves it.

use std::fmt::Write;

use civic::Locale;
use trust::digest::sha256;
use web::{Arg, Messages};

use crate::client::{Client, IdentityConfig};
use crate::details::BridgeService;

/// One question of the screen and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoticeLine {
    pub(crate) question: String,
    pub(crate) answers: Vec<String>,
}

/// What is shown, in the order it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) locale: Locale,
    pub(crate) lead: String,
    pub(crate) lines: Vec<NoticeLine>,
    pub(crate) allow: String,
    pub(crate) refuse: String,
}

impl Notice {
    /// The notice of a request. `until_days` runs from the moment of consent, so the screen names days, not a date that would
    /// change its digest at midnight.
    pub(crate) fn of(
        details: &BridgeService,
        client: &Client,
        config: &IdentityConfig,
        messages: &Messages,
        locale: Locale,
    ) -> Option<Self> {
        let service = config.notice(&details.service)?;
        let t = |key: &str, args: &[(&str, Arg)]| messages.t(locale, key, args);
        let line = |key: &str, answers: Vec<String>| NoticeLine { question: t(key, &[]), answers };
        let name = client.name.get(locale);
        let years: Vec<String> = details.years.iter().map(u16::to_string).collect();
        let fields = details.fields.iter().filter_map(|code| {
            let (_, words) = service.fields.iter().find(|(known, _)| known == code)?;
            Some(words.get(locale).to_owned())
        });
        let lead = t(
            "identity-consent-lead",
            &[
                ("client", name.into()),
                ("service", service.name.get(locale).into()),
                ("years", years.join(", ").into()),
            ],
        );
        let duration = t("identity-consent-duration", &[("days", i64::from(details.valid_for_days).into())]);
        let uses = t("identity-consent-uses", &[("uses", i64::from(details.uses).into())]);
        let withdraw = t("identity-consent-withdraw-text", &[("url", config.withdraw_url.as_str().into())]);
        let lines = vec![
            line("identity-consent-who", vec![format!("{name} ({})", client.member)]),
            line("identity-consent-what", fields.collect()),
            line("identity-consent-holder", vec![service.provider.get(locale).to_owned()]),
            line("identity-consent-years", vec![years.join(", ")]),
            line("identity-consent-why", vec![details.purpose.text.clone()]),
            line("identity-consent-how-long", vec![duration, uses]),
            line("identity-consent-law", vec![service.law.get(locale).to_owned()]),
            line("identity-consent-if-refused", vec![service.refusal.get(locale).to_owned()]),
            line("identity-consent-withdraw", vec![withdraw]),
        ];
        Some(Self {
            locale,
            lead,
            lines,
            allow: t("identity-consent-allow", &[]),
            refuse: t("identity-consent-refuse", &[]),
        })
    }

    /// The text as it is kept: line by line, questions marked.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.lead);
        for line in &self.lines {
            text.push_str("\n# ");
            text.push_str(&line.question);
            for answer in &line.answers {
                text.push_str("\n- ");
                text.push_str(answer);
            }
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "\n\n[{}] [{}]\n", self.allow, self.refuse);
        text
    }

    /// SHA-256 of language and text, hexadecimal: stored with the grant.
    pub(crate) fn hash(&self) -> String {
        let digest = sha256(format!("{}\n{}", self.locale.tag(), self.text()).as_bytes());
        digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
