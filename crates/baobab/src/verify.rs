//! `baobab verify`: judges evidence offline. It reads the evidence and what is trusted, and nothing else.

mod proof;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use trust::asic::{self, AsicError, CONTAINER_MAX, Container, Direction, Rules, Verdict};
use trust::globalconf::TrustDir;

use crate::cli::{VerifyArguments, print_line};

/// Folders below the trust data are read this deep.
const DEPTH_MAX: usize = 4;
/// More than this is no trust data.
const TRUST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Prints the verdict; the exit status is 0 for valid, 1 for anything else.
pub(crate) fn run(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    if let Some(policy) = &arguments.policy {
        return proof::run(arguments, policy);
    }
    let trust = load_trust(arguments.trust.as_deref().context("name the trust data with --trust")?)?;
    let path = &arguments.container;
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let judged = if size > CONTAINER_MAX as u64 {
        Err(AsicError::TooLarge)
    } else {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Container::read(&bytes).and_then(|container| asic::verify(&container, &trust, &Rules::default()))
    };
    print_line(&if arguments.json { as_json(&judged) } else { as_text(&judged)? });
    Ok(if judged.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads `INSTANCE/shared-params.xml` and `instance-identifier`, directly in the folder or in `verificationconf` below it.
fn load_trust(folder: &Path) -> anyhow::Result<TrustDir> {
    let inner = folder.join("verificationconf");
    let folder = if inner.is_dir() { &inner } else { folder };
    let mut files = BTreeMap::new();
    let mut left = TRUST_BYTES_MAX;
    read_below(folder, "", DEPTH_MAX, &mut left, &mut files)
        .with_context(|| format!("cannot read the trust data in {}", folder.display()))?;
    TrustDir::load(&files).with_context(|| {
        format!("{} is no trust data: it needs instance-identifier and INSTANCE/shared-params.xml", folder.display())
    })
}

fn read_below(
    folder: &Path,
    prefix: &str,
    depth: usize,
    left: &mut u64,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                read_below(&entry.path(), &format!("{name}/"), depth - 1, left, files)?;
            }
            continue;
        }
        let size = entry.metadata()?.len();
        let Some(rest) = left.checked_sub(size) else { bail!("it holds more than {TRUST_BYTES_MAX} bytes") };
        *left = rest;
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(())
}

fn as_text(judged: &Result<Verdict, AsicError>) -> Result<String, std::fmt::Error> {
    let verdict = match judged {
        Ok(verdict) => verdict,
        Err(reason) => return Ok(format!("NOT VALID: {reason}")),
    };
    let mut text = String::from("VALID\n");
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
    write!(text, "  covers      {}", files.join(", "))?;
    Ok(text)
}

fn as_json(judged: &Result<Verdict, AsicError>) -> String {
    let value = match judged {
        Err(reason) => json!({"valid": false, "reason": reason.to_string()}),
        Ok(verdict) => json!({
            "valid": true,
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
        }),
    };
    format!("{value:#}")
}
