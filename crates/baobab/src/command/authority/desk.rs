//! The desk of the operator: who asks to join, who is registered, and what the operator decides.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use authority::{Profile, Request, RequestState, Role};
use civic::{ClientId, MemberId, ServerId};
use clap::{Args, ValueEnum};
use trust::cert::{Certificate, CertificateRequest};
use trust::globalconf::TrustDir;

use super::House;
use crate::cli::print_line;
use crate::command::join::{JoinAnswer, JoinRequest};
use crate::command::process::{block_on, start_quiet_logs};
use crate::files::write_durably;
use crate::settings::{AuthoritySettings, Loaded};
use crate::telemetry::LogOptions;

/// Who stands in the audit for what these commands do.
pub(super) const ACTOR: &str = "command line";

/// Options of `baobab authority approve`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApproveArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The code that the applicant reads out, the file that was handed over, or the number of a node's management request (`list`
    /// shows them).
    #[arg(value_name = "CODE|FILE|NUMBER")]
    request: String,
}

/// Options of `baobab authority refuse`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RefuseArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The code of the request, or the number of a node's management request.
    #[arg(value_name = "CODE|NUMBER")]
    code: String,
    /// Why; the applicant reads it.
    #[arg(long, value_name = "TEXT", default_value = "ask the operator of the authority")]
    reason: String,
}

/// What a key of the authority's API may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleName {
    /// Members, subsystems, nodes, groups; approves and declines; issues certificates.
    RegistrationOfficer,
    /// Approved authorities, federation, keys of the configuration; revokes certificates.
    SecurityOfficer,
    /// Keys of operators, classes and categories.
    SystemAdministrator,
    /// Reads only.
    Observer,
}

impl RoleName {
    const fn role(self) -> Role {
        match self {
            Self::RegistrationOfficer => Role::RegistrationOfficer,
            Self::SecurityOfficer => Role::SecurityOfficer,
            Self::SystemAdministrator => Role::SystemAdministrator,
            Self::Observer => Role::Observer,
        }
    }
}

/// Options of `baobab authority api-key`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ApiKeyArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// What the key may do; may be said several times.
    #[arg(long, value_enum, required = true)]
    role: Vec<RoleName>,
    /// Whose it is, for people.
    #[arg(long, value_name = "TEXT", default_value = "command line")]
    label: String,
}

/// Options of `baobab authority add-member`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddMemberArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The id: INSTANCE/CLASS/CODE.
    #[arg(value_name = "ID")]
    id: MemberId,
    /// The official name.
    #[arg(value_name = "NAME")]
    name: String,
    /// A subsystem of it; may be said several times.
    #[arg(long, value_name = "CODE")]
    subsystem: Vec<String>,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Purpose {
    /// Signs messages of the member.
    Sign,
    /// Identifies the node to other nodes.
    Auth,
}

/// Options of `baobab authority sign`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SignArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// What it is for.
    #[arg(long, value_enum)]
    profile: Purpose,
    /// The node: INSTANCE/CLASS/CODE/SERVER.
    #[arg(long, value_name = "ID")]
    server: ServerId,
    /// The member whom it names; without it the owner of the node.
    #[arg(long, value_name = "ID")]
    member: Option<MemberId>,
    /// The certificate request, PEM.
    #[arg(value_name = "FILE.csr.pem")]
    request: PathBuf,
}

/// Options of `baobab authority register`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RegisterArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "authority.toml")]
    config: PathBuf,
    /// The node: INSTANCE/CLASS/CODE/SERVER.
    #[arg(long, value_name = "ID")]
    server: ServerId,
    /// Where other nodes reach it.
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// A subsystem that sends and serves through it; may be said several times.
    #[arg(long, value_name = "ID", required = true)]
    client: Vec<ClientId>,
    /// Its authentication certificate, PEM.
    #[arg(value_name = "FILE.cert.pem")]
    certificate: PathBuf,
}

/// Shows who asks and who is registered.
pub(in crate::command) fn list(config: &Path, log: &LogOptions) -> anyhow::Result<ExitCode> {
    with_house(config, log, async |house| {
        let waiting = house.desk()?.waiting()?;
        print_line(&format!("Waiting: {}", waiting.len()));
        for (id, request) in &waiting {
            print_line(&format!("  {}  {}", id.code(), summary(request)));
        }
        let asked = asked(house).await?;
        print_line(&format!("Requests of nodes: {}", asked.len()));
        for request in &asked {
            print_line(&format!("  {}", line(request)));
        }
        let trust = TrustDir::load(&house.authority.trust_dir_files())?;
        let own = trust.own().context("the configuration has no own instance")?.shared();
        print_line(&format!("Members: {}", own.members.len()));
        for member in &own.members {
            let codes: Vec<&str> = member.subsystems.iter().map(|subsystem| subsystem.code.as_str()).collect();
            print_line(&format!("  {}  {}  [{}]", member.id, member.name, codes.join(", ")));
        }
        print_line(&format!("Nodes: {}", own.servers.len()));
        for server in &own.servers {
            let (address, certificates) = (server.address.as_deref().unwrap_or("-"), server.auth_cert_hashes.len());
            print_line(&format!("  {}  {address}  certificates: {certificates}", server.id));
        }
        Ok(())
    })
}

/// The management requests that wait for a decision, oldest first.
async fn asked(house: &House) -> anyhow::Result<Vec<Request>> {
    let desk = house.authority.desk(ACTOR);
    let mut waiting = desk.requests(Some(RequestState::Waiting), None).await?;
    waiting.extend(desk.requests(Some(RequestState::Submitted), None).await?);
    waiting.sort_by_key(|request| request.id);
    Ok(waiting)
}

/// A management request in one line.
fn line(request: &Request) -> String {
    let mut text = format!("{}  {}  {}", request.id, request.kind.name(), request.server);
    let more = [
        request.client.as_ref().map(ToString::to_string),
        request.detail.address.clone(),
        request.certificate.as_ref().map(|hash| format!("certificate {hash}")),
        Some(format!("since {}", request.created_at)),
    ];
    for part in more.into_iter().flatten() {
        text.push_str("  ");
        text.push_str(&part);
    }
    text
}

/// A number where others give a code.
fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Registers the node of a request and issues its certificates, or says yes to a management request.
pub(in crate::command) fn approve(arguments: &ApproveArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    if let Some(number) = number(&arguments.request) {
        return with_house(&arguments.config, log, async |house| {
            let request = house.authority.desk(ACTOR).approve(number).await?;
            print_line(&format!("Approved {}", line(&request)));
            print_line("Next: nothing; the nodes see it in the next global configuration.");
            Ok(())
        });
    }
    let file = Path::new(&arguments.request);
    let handed_over = file.is_file().then(|| std::fs::read(file)).transpose()?;
    with_house(&arguments.config, log, async |house| {
        let desk = house.desk()?;
        let (id, request) = match &handed_over {
            Some(bytes) => (desk.take(bytes)?, JoinRequest::from_bytes(bytes)?),
            None => desk.by_code(&arguments.request)?,
        };
        let (sign, auth) = house.authority.desk(ACTOR).admit(&request.newcomer(&id)?).await?;
        let answer = JoinAnswer::Approved { sign_certificate: sign.to_pem(), auth_certificate: auth.to_pem() };
        desk.answer(&id, &answer)?;
        print_line(&format!("Approved {}: {}", id.code(), summary(&request)));
        if handed_over.is_some() {
            let path = file.with_extension("answer.json");
            write_durably(&path, &serde_json::to_vec_pretty(&answer)?)?;
            let path = path.display();
            print_line(&format!("Next: hand {path} back; the node takes it with `baobab node init --answer FILE`."));
        } else {
            print_line("Next: the node fetches its certificates by itself; nothing is left to do here.");
        }
        Ok(())
    })
}

/// Turns a request down.
pub(in crate::command) fn refuse(arguments: &RefuseArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    if let Some(number) = number(&arguments.code) {
        return with_house(&arguments.config, log, async |house| {
            let request = house.authority.desk(ACTOR).decline(number, &arguments.reason).await?;
            print_line(&format!("Refused {}", line(&request)));
            Ok(())
        });
    }
    with_house(&arguments.config, log, async |house| {
        let desk = house.desk()?;
        let (id, request) = desk.by_code(&arguments.code)?;
        house.authority.desk(ACTOR).turn_away(&request.server, &id.code(), &arguments.reason).await?;
        desk.answer(&id, &JoinAnswer::Refused { reason: arguments.reason.clone() })?;
        print_line(&format!("Refused {}: {}", id.code(), summary(&request)));
        Ok(())
    })
}

/// Makes a key for the API of the authority and shows it: only its digest is kept.
pub(in crate::command) fn api_key(arguments: &ApiKeyArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    let roles: Vec<Role> = arguments.role.iter().map(|role| role.role()).collect();
    with_house(&arguments.config, log, async |house| {
        let (_, key) = house.authority.desk(ACTOR).create_api_key(&arguments.label, &roles).await?;
        print_line(&key);
        Ok(())
    })
}

/// Registers a member.
pub(in crate::command) fn add_member(arguments: &AddMemberArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    with_house(&arguments.config, log, async |house| {
        let desk = house.authority.desk(ACTOR);
        desk.register_member(&arguments.id, &arguments.name).await?;
        for code in &arguments.subsystem {
            desk.register_subsystem(&arguments.id.subsystem(code)?, None).await?;
        }
        print_line(&format!("{} is a member: {}.", arguments.id, arguments.name));
        Ok(())
    })
}

/// Issues a certificate, to standard output.
pub(in crate::command) fn sign(arguments: &SignArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    let request = CertificateRequest::from_pem(&read(&arguments.request)?)?;
    with_house(&arguments.config, log, async |house| {
        let profile = match arguments.profile {
            Purpose::Sign => Profile::Sign,
            Purpose::Auth => Profile::Auth,
        };
        let member = arguments.member.as_ref().unwrap_or(arguments.server.owner());
        let certificate = house.authority.desk(ACTOR).sign_csr(profile, &arguments.server, member, &request).await?;
        print_line(certificate.to_pem().trim_end());
        Ok(())
    })
}

/// Registers a node.
pub(in crate::command) fn register(arguments: &RegisterArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    let certificate = Certificate::from_pem(&read(&arguments.certificate)?)?;
    with_house(&arguments.config, log, async |house| {
        let RegisterArguments { server, address, client, .. } = arguments;
        house.authority.desk(ACTOR).register_server(server, address, &certificate, client).await?;
        print_line(&format!("{server} is registered at {address}."));
        Ok(())
    })
}

/// One line for people; every part of it was checked to be free of control characters.
fn summary(request: &JoinRequest) -> String {
    format!(
        "{} ({}) at {} with [{}]",
        request.server,
        request.member_name,
        request.address,
        request.subsystems.join(", ")
    )
}

pub(super) fn with_house<W>(config: &Path, log: &LogOptions, work: W) -> anyhow::Result<ExitCode>
where
    W: AsyncFnOnce(&House) -> anyhow::Result<()>,
{
    start_quiet_logs(log)?;
    let loaded = Loaded::<AuthoritySettings>::read(config)?;
    block_on(async {
        let house = House::open(loaded, false).await?;
        let outcome = work(&house).await;
        house.close().await;
        outcome.map(|()| ExitCode::SUCCESS)
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
