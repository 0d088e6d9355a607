//! The log that the acts of the authority go to, where its file names one.

use anyhow::Context as _;
use authority::Authority;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ledger::{LedgerClient, Submitter};
use trust::keys::SigningKey;
use web::Job;

use crate::cli::print_line;
use crate::command::process::clock;
use crate::files::secret_file;
use crate::settings::{AuthoritySettings, Loaded};

const KEY_FILE: &str = "ledger.key.pem";

/// What brings the acts of this authority to the log. An authority that was opened anew needs it anew.
pub(super) async fn job(authority: &Authority, loaded: &Loaded<AuthoritySettings>) -> anyhow::Result<Option<Job>> {
    let Some((url, verifier, name)) = loaded.acts_log()? else { return Ok(None) };
    let key = submitter_key(loaded)?;
    let log = LedgerClient::new(&url, verifier, Some(Submitter::new(name, key)?), clock())
        .map_err(|error| loaded.refused("ledger.url", &error))?;
    Ok(Some(authority.commit_to(log).await?))
}

/// Says what the keeper of the log writes into `[[submitter]]`.
pub(super) fn introduce(loaded: &Loaded<AuthoritySettings>) -> anyhow::Result<()> {
    let Some((_, verifier, name)) = loaded.acts_log()? else { return Ok(()) };
    let public = STANDARD.encode(submitter_key(loaded)?.public().spki_der());
    print_line(&format!(
        "Its acts go to the log {}, whose keeper lets them in by\n  [[submitter]]\n  name = \"{name}\"\n  key = \"{public}\"",
        verifier.name()
    ));
    Ok(())
}

/// The key by which the authority appends; made the first time.
fn submitter_key(loaded: &Loaded<AuthoritySettings>) -> anyhow::Result<SigningKey> {
    let path = loaded.path_of(&loaded.settings.keys).join(KEY_FILE);
    let pem = secret_file(&path, || Ok(SigningKey::generate_p256()?.to_pkcs8_pem()?))?;
    SigningKey::from_pkcs8_pem(&pem).with_context(|| format!("{} is damaged", path.display()))
}
