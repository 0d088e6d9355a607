//! `demo.json`, on which other programs rely, and the table that people read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::letters::SampleCitizen;
use super::logs::LogDescription;
use super::notary::NotaryDescription;
use super::ports::{Organisation, Ports, public_url, socket_url};
use crate::files::write_durably;

/// Where the parts of a running demo nation are.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Description {
    portal: String,
    identity: String,
    bank: String,
    phone: String,
    instance: &'static str,
    anchor: PathBuf,
    trust: PathBuf,
    members: Vec<MemberDescription>,
    logs: Vec<LogDescription>,
    notary: NotaryDescription,
    citizens: Vec<SampleCitizen>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct MemberDescription {
    id: String,
    name: &'static str,
    consumer_url: String,
    transport_url: String,
    admin_url: String,
    /// Opens the console of its node, below `admin_url`, and its management API.
    console_key: String,
}

impl Description {
    /// The organisations, in their order, with the keys of their consoles.
    pub(super) fn members(ports: Ports, console_keys: Vec<String>) -> Vec<MemberDescription> {
        let member = |(organisation, console_key): (Organisation, String)| MemberDescription {
            id: organisation.client().to_owned(),
            name: organisation.title(),
            consumer_url: socket_url(ports.consumer(organisation)),
            transport_url: format!("https://127.0.0.1:{}", ports.transport(organisation)),
            admin_url: socket_url(ports.admin(organisation)),
            console_key,
        };
        Organisation::ALL.into_iter().zip(console_keys).map(member).collect()
    }

    pub(super) fn new(
        ports: Ports,
        members: Vec<MemberDescription>,
        anchor: PathBuf,
        trust: PathBuf,
        logs: Vec<LogDescription>,
        notary: NotaryDescription,
        citizens: Vec<SampleCitizen>,
    ) -> Self {
        Self {
            portal: public_url(ports.portal()),
            identity: public_url(ports.identity()),
            bank: public_url(ports.bank()),
            phone: public_url(ports.phone()),
            instance: "BB",
            anchor,
            trust,
            members,
            logs,
            notary,
            citizens,
        }
    }

    /// Writes the file whole or not at all.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_durably(path, &text)
    }

    /// The table of the terminal.
    pub(super) fn table(&self, folder: &Path) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "\nBaobab demo nation — data in {}\n", folder.display())?;
        for (what, url) in [
            ("Citizen portal (MyGov)", &self.portal),
            ("Banque du Fleuve: ask for a loan", &self.bank),
            ("Simulated phones: codes by SMS", &self.phone),
            ("Identity provider", &self.identity),
            ("Notary: check a file and its proof", &self.notary.url),
        ] {
            writeln!(text, "  {what:<34} {url}")?;
        }
        writeln!(text, "\n  {:<22} {:<26} {:<24} health, metrics", "Organisation", "Member", "Its own node")?;
        for member in &self.members {
            writeln!(text, "  {:<22} {:<26} {:<24} {}", member.name, member.id, member.consumer_url, member.admin_url)?;
        }
        writeln!(text, "\n  {:<22} {:<45} key", "Console of the node", "Address")?;
        for member in &self.members {
            writeln!(
                text,
                "  {:<22} {:<45} {}",
                member.name,
                format!("{}/console", member.admin_url),
                member.console_key
            )?;
        }
        writeln!(text, "\n  {:<22} {:<16} {:<8} {:<12} phone", "Log in as", "National number", "PIN", "1st use code")?;
        for citizen in self.citizens.iter().take(3) {
            let SampleCitizen { name, national_id, pin, activation_code, phone } = citizen;
            writeln!(text, "  {name:<22} {national_id:<16} {pin:<8} {activation_code:<12} {phone}")?;
        }
        let example = self.members.last().map(|member| member.consumer_url.as_str()).unwrap_or_default();
        write!(
            text,
            "
  Try: 1. ask the bank for a loan and agree on the consent page (codes arrive on the phone page)
       2. see in the portal who looked at your data, withdraw the authorisation, ask the bank again
       3. curl -H 'X-Road-Client: BB/COM/2001/credit' {example}/r1/BB/GOV/1001/etat-civil/communes
       4. baobab verify FILE.asice --trust {trust}
       5. curl -H 'Authorization: Bearer {api_key}' -d '{{\"sha256\": \"'$(sha256sum FILE | cut -c 1-64)'\"}}' {notary}/notary

  Ctrl-C stops everything; the same command goes on where it was. All people are made up.
",
            trust = self.trust.display(),
            api_key = self.notary.api_key,
            notary = self.notary.url,
        )?;
        Ok(text)
    }
}
