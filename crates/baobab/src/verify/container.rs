//! An evidence file: the signature by the trust data, the proof of the ledger by a trust policy.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use trust::asic::{self, AsicError, CONTAINER_MAX, Container, Direction, LedgerProof, Rules, Verdict};
use trust::globalconf::TrustDir;
use trust::note::Opened;
use trust::note::policy::Policy;

use super::proof::{moment, read_policy, with_quorum, witnesses};
use crate::cli::{VerifyArguments, print_line};

/// What is said of a container.
enum Judged {
    /// Not even its signature holds.
    Refused(AsicError),
    /// Its signature holds; the rest is told.
    Signed(Box<Verdict>, Ledger),
}

/// What is said of the proof of the ledger in a container whose signature holds.
enum Ledger {
    /// There is none, and none was asked for.
    Absent,
    /// There is none, but a policy was named.
    Missing,
    /// It is about this message; which logs are trusted was not said.
    NotJudged(LedgerProof),
    /// A log that is trusted holds the record, and the witnesses are there.
    Held(Opened),
    /// It is about this message, but the policy does not accept it.
    Refused(String),
}

/// Prints the verdict; the exit status is 0 for valid, 1 for anything else.
pub(super) fn run(arguments: &VerifyArguments, trust: &TrustDir, policy: Option<&Path>) -> anyhow::Result<ExitCode> {
    let policy = policy.map(read_policy).transpose()?;
    let path = &arguments.container;
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let verdict = if size > CONTAINER_MAX as u64 {
        Err(AsicError::TooLarge)
    } else {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Container::read(&bytes).and_then(|container| asic::verify(&container, trust, &Rules::default()))
    };
    let judged = judge(verdict, policy.as_ref());
    print_line(&if arguments.json { as_json(&judged) } else { as_text(&judged)? });
    Ok(if judged.is_valid() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(verdict: Result<Verdict, AsicError>, policy: Option<&Policy>) -> Judged {
    let verdict = match verdict {
        Ok(verdict) => Box::new(verdict),
        Err(reason) => return Judged::Refused(reason),
    };
    let ledger = match (verdict.ledger.clone(), policy) {
        (None, None) => Ledger::Absent,
        (None, Some(_)) => Ledger::Missing,
        (Some(proof), None) => Ledger::NotJudged(proof),
        (Some(proof), Some(policy)) => {
            let opened = proof.judge(policy).map_err(|error| error.to_string());
            opened.and_then(with_quorum).map_or_else(Ledger::Refused, Ledger::Held)
        }
    };
    Judged::Signed(verdict, ledger)
}

impl Judged {
    const fn is_valid(&self) -> bool {
        matches!(self, Self::Signed(_, Ledger::Absent | Ledger::NotJudged(_) | Ledger::Held(_)))
    }
}

impl Ledger {
    /// The state in one word, for programs.
    const fn word(&self) -> &'static str {
        match self {
            Self::Absent | Self::Missing => "absent",
            Self::NotJudged(_) => "not-judged",
            Self::Held(_) => "held",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("not judged: the container carries no proof"),
            Self::Missing => formatter.write_str(
                "the container carries no proof, and --policy asks for one; without --policy the signature alone is judged",
            ),
            Self::NotJudged(proof) => write!(
                formatter,
                "not judged: the proof is about this message (entry {} of {}), but which logs to trust was not said; name them \
                 with --policy",
                proof.index, proof.origin
            ),
            Self::Held(opened) => {
                write!(formatter, "holds it at {} of {}", opened.index, opened.verdict.checkpoint.origin)?;
                opened
                    .verdict
                    .cosigned
                    .iter()
                    .try_for_each(|(name, seconds)| write!(formatter, ", witnessed by {name} at {}", moment(*seconds)))
            }
            Self::Refused(reason) => write!(formatter, "the proof is refused: {reason}"),
        }
    }
}

fn as_text(judged: &Judged) -> Result<String, fmt::Error> {
    let (verdict, ledger) = match judged {
        Judged::Refused(reason) => return Ok(format!("NOT VALID: {reason}")),
        Judged::Signed(verdict, ledger) => (verdict, ledger),
    };
    let mut text = if judged.is_valid() {
        String::from("VALID\n")
    } else {
        format!("NOT VALID: the signature holds, but of the ledger: {ledger}\n")
    };
    let message = &verdict.message;
    let service = format!("{}/{}", message.provider, message.service);
    match message.direction {
        Direction::Request => writeln!(text, "  request     {} asks {service}", message.client)?,
        Direction::Response => writeln!(text, "  answer      {service} answers {}", message.client)?,
    }
    writeln!(text, "  message     {}", message.id.as_deref().unwrap_or("(without id)"))?;
    writeln!(text, "  signed by   {} with {}", verdict.member, verdict.subject)?;
    writeln!(text, "              certificate {} of {}", verdict.serial, verdict.issuer)?;
    if let Some(moment) = verdict.signing_time {
        writeln!(text, "  signed at   {moment} (the signer says)")?;
    }
    writeln!(text, "  good at     {} (OCSP)", verdict.ocsp_time)?;
    if let Some(moment) = verdict.time_stamp {
        writeln!(text, "  stamped at  {moment} (time-stamping authority)")?;
    }
    let files: Vec<String> = verdict.files.iter().map(|file| file.name.clone()).collect();
    writeln!(text, "  covers      {}", files.join(", "))?;
    write!(text, "  ledger      {ledger}")?;
    Ok(text)
}

fn as_json(judged: &Judged) -> String {
    let value = match judged {
        Judged::Refused(reason) => json!({ "valid": false, "reason": reason.to_string() }),
        Judged::Signed(verdict, ledger) => {
            let mut value = json!({
                "valid": judged.is_valid(),
                "signer": verdict.member.to_string(),
                "subject": verdict.subject,
                "issuer": verdict.issuer,
                "serial": verdict.serial,
                "direction": match verdict.message.direction { Direction::Request => "request", Direction::Response => "response" },
                "client": verdict.message.client.to_string(),
                "service": format!("{}/{}", verdict.message.provider, verdict.message.service),
                "messageId": verdict.message.id,
                "signingTime": verdict.signing_time.map(civic::Timestamp::rfc3339),
                "ocspTime": verdict.ocsp_time.rfc3339(),
                "timeStamp": verdict.time_stamp.map(civic::Timestamp::rfc3339),
                "files": verdict.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
                "ledger": ledger_as_json(ledger),
            });
            if !judged.is_valid()
                && let Some(object) = value.as_object_mut()
            {
                object.insert("reason".to_owned(), json!(ledger.to_string()));
            }
            value
        }
    };
    format!("{value:#}")
}

fn ledger_as_json(ledger: &Ledger) -> Value {
    let state = ledger.word();
    match ledger {
        Ledger::Absent | Ledger::Missing => json!({ "state": state }),
        Ledger::NotJudged(proof) => json!({ "state": state, "log": proof.origin, "index": proof.index }),
        Ledger::Refused(reason) => json!({ "state": state, "reason": reason }),
        Ledger::Held(opened) => json!({
            "state": state,
            "log": opened.verdict.checkpoint.origin,
            "index": opened.index,
            "size": opened.verdict.checkpoint.size,
            "witnesses": witnesses(opened),
        }),
    }
}
