//! `baobab node init`: from an empty folder to a node that is registered. Each run does what is left to do, and says what comes next.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bridge::KeyPlaces;
use civic::{ClientId, MemberId, ServerId};
use clap::Args;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use trust::cert::{Certificate, MemberNameProfile, NameAttribute};
use trust::digest;
use trust::globalconf::read_anchor;
use web::{ClientLimits, HttpClient};

use super::running::usable;
use crate::cli::print_line;
use crate::command::join::{JoinAnswer, JoinId, JoinRequest};
use crate::command::process::{block_on, open_store, random, start_quiet_logs};
use crate::files::{make_private, write_durably};
use crate::settings::{Loaded, NodeSettings};
use crate::telemetry::LogOptions;

const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A newcomer may wait for an authority that is busy: it has nothing else to do.
const PATIENT: ClientLimits = ClientLimits { timeout: Duration::from_mins(1), answer_bytes_max: 4 * 1024 * 1024 };

/// Options of `baobab node init`. Those about the node are needed once: they go into the configuration file.
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArguments {
    /// The configuration file; made where it is missing.
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// The id of the node: INSTANCE/CLASS/CODE/SERVER.
    #[arg(long, value_name = "ID")]
    server: Option<ServerId>,
    /// The official name of the organisation.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The country in certificate requests, two letters; without it, that of the authority.
    #[arg(long, value_name = "CC")]
    country: Option<String>,
    /// The code of a subsystem that sends and serves through the node; may be said several times.
    #[arg(long, value_name = "CODE")]
    subsystem: Vec<String>,
    /// Under which address other nodes reach this one. The OCSP port is 77 above.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Where the authority is reached. Without it, files are handed over.
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
    /// The anchor of the global configuration, a file from the authority. Without it, it is fetched from the authority.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    /// The SHA-256 of the anchor, as the authority told it: another one is refused.
    #[arg(long, value_name = "HEX")]
    anchor_sha256: Option<String>,
    /// A PKCS#11 module (a shared library): the signing key is made in its token. Needs --token-label and --token-pin-file.
    #[arg(long, value_name = "FILE", requires = "token_label", requires = "token_pin_file")]
    token_module: Option<PathBuf>,
    /// The label of the token.
    #[arg(long, value_name = "LABEL", requires = "token_module")]
    token_label: Option<String>,
    /// A file with its PIN, mode 0600.
    #[arg(long, value_name = "FILE", requires = "token_module")]
    token_pin_file: Option<PathBuf>,
    /// The answer of the authority, a file that was handed back.
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,
    /// Wait so many seconds for the approval.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

#[derive(Deserialize)]
struct Taken {
    id: String,
}

/// Does what is left to do, and says what comes next.
pub(in crate::command) fn init(arguments: &InitArguments, log: &LogOptions) -> anyhow::Result<ExitCode> {
    start_quiet_logs(log)?;
    if !arguments.config.exists() {
        write_settings(arguments)?;
        print_line(&format!("1. Wrote {}", arguments.config.display()));
    }
    let loaded = Loaded::<NodeSettings>::read(&arguments.config)?;
    let server = loaded.server()?;
    for folder in [&loaded.settings.data, &loaded.settings.keys] {
        make_private(&loaded.path_of(folder))?;
    }
    block_on(async {
        bring_anchor(arguments, &loaded, &server).await?;
        open_store(&loaded, &loaded.settings.store, &loaded.settings.store_key, true).await?.close().await;
        let places = make_keys(&loaded)?;
        let request = request(&loaded, &server, &places)?;
        let keys = loaded.path_of(&loaded.settings.keys);
        print_line(&format!("3. Keys, store and certificate requests are in {}", keys.display()));
        super::witnessing::make_keys(&loaded)?;
        if let Some(path) = &arguments.answer {
            let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let answer: JoinAnswer = serde_json::from_slice(&bytes).context("it is no answer of an authority")?;
            install(&places, &answer).with_context(|| format!("{} changes nothing", path.display()))?;
        }
        if usable(&loaded, places.installed())?.is_some() {
            ready(&loaded);
            return Ok(ExitCode::SUCCESS);
        }
        if loaded.settings.authority.is_empty() {
            hand_over(&loaded, &request);
            return Ok(ExitCode::SUCCESS);
        }
        let tries = arguments.wait / ASK_AGAIN.as_secs();
        print_line(&format!(
            "4. Asked {} to register the node.\n\nThe code of the request:  {}\n\nNext: read the code to the operator of the authority, who runs\n        baobab authority approve {}",
            loaded.settings.authority,
            JoinId::of(&request).code(),
            JoinId::of(&request).code(),
        ));
        for _ in 0..=tries {
            if fetch_certificates(&loaded, &places).await? {
                ready(&loaded);
                return Ok(ExitCode::SUCCESS);
            }
            tokio::time::sleep(if tries == 0 { Duration::ZERO } else { ASK_AGAIN }).await;
        }
        let path = loaded.path.display();
        print_line(&format!(
            "      and start the node; it waits for the approval and then serves:\n        baobab node run --config {path}"
        ));
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks the authority for the certificates of a request that was made before; true once they are in place.
pub(super) async fn fetch_certificates(loaded: &Loaded<NodeSettings>, places: &KeyPlaces) -> anyhow::Result<bool> {
    let path = request_path(loaded);
    let bytes = std::fs::read(&path).with_context(|| {
        format!(
            "the node has no certificates and {} is missing. Run `baobab node init --config {}`",
            path.display(),
            loaded.path.display()
        )
    })?;
    let authority = loaded.settings.authority.trim_end_matches('/');
    if authority.is_empty() {
        bail!(
            "the node has no certificates yet. Hand {} to the authority, and run `baobab node init --answer FILE` with what comes back",
            path.display()
        );
    }
    let http = HttpClient::new(PATIENT, None);
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let sent = http.send(Method::POST, &format!("{authority}/join"), &kind, bytes.into()).await?.success()?;
    let Taken { id } = sent.json()?;
    let answer: JoinAnswer = http.get_json(&format!("{authority}/join/{id}"), &[]).await?;
    if answer == JoinAnswer::Waiting {
        return Ok(false);
    }
    install(places, &answer)?;
    Ok(true)
}

/// Puts the certificates beside their keys; they must be those of this node.
fn install(places: &KeyPlaces, answer: &JoinAnswer) -> anyhow::Result<()> {
    let (sign, auth) = answer.certificates()?;
    places.install(&sign, &auth)?;
    Ok(())
}

/// Where the keys lie; those of the token are made where they are missing.
fn make_keys(loaded: &Loaded<NodeSettings>) -> anyhow::Result<KeyPlaces> {
    let keys = loaded.token()?;
    if let Some(keys) = &keys {
        if !keys.token.has_pin() {
            return Err(loaded
                .refused("token.pin_file", &"it is needed to make keys in the token; it may go afterwards")
                .into());
        }
        keys.make(random().as_ref())?;
        for (what, label) in [("signing", &keys.sign), ("authentication", &keys.auth)] {
            if let Some(label) = label {
                print_line(&format!("   The {what} key `{label}` is in the token {}", keys.token.name()));
            }
        }
    }
    Ok(KeyPlaces::new(&loaded.path_of(&loaded.settings.keys), keys))
}

fn ready(loaded: &Loaded<NodeSettings>) {
    let path = loaded.path.display();
    print_line(&format!(
        "5. The node is registered and has its certificates.\n\nNext: write into {path} what the node offers ([[service]], [[right]]), then\n        baobab config check {path}\n        baobab node run --config {path}"
    ));
}

fn hand_over(loaded: &Loaded<NodeSettings>, request: &[u8]) {
    print_line(&format!(
        "\nNext: hand {} to the authority, whose operator compares the code {} with you and runs\n        baobab authority approve FILE\n      Then: baobab node init --config {} --answer FILE",
        request_path(loaded).display(),
        JoinId::of(request).code(),
        loaded.path.display()
    ));
}

/// The anchor decides whom the node believes: it comes from a file, or from the authority to be compared by people.
async fn bring_anchor(
    arguments: &InitArguments,
    loaded: &Loaded<NodeSettings>,
    server: &ServerId,
) -> anyhow::Result<()> {
    let path = loaded.path_of(&loaded.settings.anchor);
    let bytes = match &arguments.anchor {
        Some(file) => std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?,
        None if path.exists() => std::fs::read(&path)?,
        None if loaded.settings.authority.is_empty() => {
            bail!("say where the anchor is: --anchor FILE, or --authority URL to fetch it")
        }
        None => {
            let url = format!("{}/anchor.xml", loaded.settings.authority.trim_end_matches('/'));
            HttpClient::new(PATIENT, None).get(&url, &[]).await?.success()?.body.to_vec()
        }
    };
    let found = hex::encode(digest::sha256(&bytes));
    if arguments.anchor_sha256.as_ref().is_some_and(|wanted| !wanted.trim().eq_ignore_ascii_case(&found)) {
        bail!(
            "the anchor has the SHA-256 {found}, not the one that was said: somebody stands in between. Get it by another way"
        );
    }
    let anchor = read_anchor(&bytes).context("the anchor cannot be read")?;
    if anchor.instance != server.owner().instance() {
        bail!("the anchor is that of {}, the node is to join {}", anchor.instance, server.owner().instance());
    }
    write_durably(&path, &bytes)?;
    let told = if arguments.anchor_sha256.is_some() { "as told" } else { "compare it with the authority's" };
    print_line(&format!("2. Anchor of {} with SHA-256 {found} ({told})", anchor.instance));
    Ok(())
}

/// The request, made once: its code stays the same until the configuration says something else.
fn request(loaded: &Loaded<NodeSettings>, server: &ServerId, places: &KeyPlaces) -> anyhow::Result<Vec<u8>> {
    let (settings, member) = (&loaded.settings, server.owner());
    let name = if settings.name.is_empty() { member.code() } else { &settings.name };
    let country = country(loaded, member)?;
    let requests = places.init(server, &country, name)?;
    let mut subsystems = Vec::new();
    for entry in &settings.client {
        let client: ClientId = entry.id.parse().map_err(|error| loaded.refused("client.id", &error))?;
        let code = client.subsystem().filter(|_| client.member() == member);
        let code = code.ok_or_else(|| loaded.refused("client.id", &format!("{client} is no subsystem of {member}")))?;
        subsystems.push(code.to_owned());
    }
    let fresh = JoinRequest {
        server: server.clone(),
        member_name: name.to_owned(),
        address: settings.address.clone(),
        subsystems,
        sign_request: requests.sign.to_pem(),
        auth_request: requests.auth.to_pem(),
    };
    let path = request_path(loaded);
    let kept = std::fs::read(&path).ok().and_then(|bytes| Some((JoinRequest::from_bytes(&bytes).ok()?, bytes)));
    if let Some((kept, bytes)) = kept
        && kept.is_same_wish(&fresh)
    {
        return Ok(bytes);
    }
    let bytes = fresh.to_bytes()?;
    JoinRequest::from_bytes(&bytes)?;
    write_durably(&path, &bytes)?;
    Ok(bytes)
}

/// The country of the file, else the one that the authority has in the certificate of its configuration.
fn country(loaded: &Loaded<NodeSettings>, member: &MemberId) -> anyhow::Result<String> {
    if let Some(country) = loaded.country()? {
        return Ok(country);
    }
    let anchor = read_anchor(&std::fs::read(loaded.path_of(&loaded.settings.anchor))?)?;
    let certificates = anchor.sources.iter().flat_map(|source| &source.certs);
    let mut named =
        certificates.filter_map(|der| Certificate::from_der(der).ok()?.subject().get(NameAttribute::Country));
    Ok(named.next().unwrap_or_else(|| MemberNameProfile::country_of(member.instance())))
}

fn request_path(loaded: &Loaded<NodeSettings>) -> PathBuf {
    loaded.path_of(&loaded.settings.data).join("join.json")
}

fn write_settings(arguments: &InitArguments) -> anyhow::Result<()> {
    let file = arguments.config.display();
    let missing = |option: &str| format!("{file} does not exist yet: say {option} so that it can be made");
    let server = arguments.server.as_ref().with_context(|| missing("--server INSTANCE/CLASS/CODE/SERVER"))?;
    let name = arguments.name.as_deref().with_context(|| missing("--name NAME"))?;
    let address = arguments.address.as_deref().with_context(|| missing("--address HOST:PORT"))?;
    if arguments.subsystem.is_empty() {
        bail!(missing("--subsystem CODE"));
    }
    let port: u16 = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5500);
    let ocsp = port.checked_add(77).context("the port of --address must be below 65459: the OCSP port is 77 above")?;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!(
        "# A node of the bridge. Every key: baobab config reference\nserver = {}\nname = {}\naddress = {}\n",
        quoted(&server.to_string()),
        quoted(name),
        quoted(address),
    );
    if let Some(country) = &arguments.country {
        // Writing to a String cannot fail; the results are dropped for that reason only.
        let _ = writeln!(text, "country = {}", quoted(country));
    }
    if let Some(authority) = &arguments.authority {
        let _ = writeln!(text, "authority = {}", quoted(authority.trim_end_matches('/')));
    }
    let _ = writeln!(text, "\n[listen]\ntransport = \"0.0.0.0:{port}\"\nocsp = \"0.0.0.0:{ocsp}\"");
    if let (Some(module), Some(label), Some(pin)) =
        (&arguments.token_module, &arguments.token_label, &arguments.token_pin_file)
    {
        let (module, pin) = (std::path::absolute(module)?, std::path::absolute(pin)?);
        let _ = writeln!(
            text,
            "\n[token]\nmodule = {}\nlabel = {}\npin_file = {}\nsign = {}",
            quoted(&module.to_string_lossy()),
            quoted(label),
            quoted(&pin.to_string_lossy()),
            quoted(&format!("{server} sign")),
        );
    }
    for code in &arguments.subsystem {
        let client = server.owner().subsystem(code)?;
        let _ = writeln!(text, "\n[[client]]\nid = {}", quoted(&client.to_string()));
    }
    if let Some(folder) = arguments.config.parent().filter(|folder: &&Path| !folder.as_os_str().is_empty()) {
        make_private(folder)?;
    }
    write_durably(&arguments.config, text.as_bytes())
}
