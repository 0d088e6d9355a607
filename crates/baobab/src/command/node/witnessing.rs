//! The node as a witness: its keys, and the lines by which policies name them.

use bridge::{WitnessParts, Witnessed};
use ledger::witness::Witness;
use store::Store;
use tokio::net::TcpListener;
use trust::note::{Cosigner, NoteAlgorithm};

use crate::cli::print_line;
use crate::command::process::{clock, key_ring};
use crate::command::sealed_keys::SealedKeys;
use crate::settings::{Loaded, NodeSettings, Refused, WitnessPlan};

/// Makes the keys of the witness where they are missing, and shows the lines that policies need.
pub(super) fn make_keys(loaded: &Loaded<NodeSettings>) -> anyhow::Result<()> {
    let Some(plan) = loaded.witness()? else { return Ok(()) };
    let cosigners = cosigners(loaded, &plan, true)?;
    let server = &loaded.settings.server;
    print_line("   As a witness the node is named in policies by:");
    for cosigner in cosigners {
        let key = cosigner.verifier();
        let suffix = if key.algorithm() == NoteAlgorithm::MlDsa44Cosignature { "-ml-dsa" } else { "" };
        print_line(&format!("witness {server}{suffix} {key} {}", plan.url));
    }
    // Both keys are of one organisation: in a quorum they count once.
    print_line(&format!("group {server}-any any {server} {server}-ml-dsa"));
    Ok(())
}

/// What the running node needs to witness.
pub(super) async fn parts(loaded: &Loaded<NodeSettings>, store: &Store) -> anyhow::Result<Option<WitnessParts>> {
    let Some(plan) = loaded.witness()? else { return Ok(None) };
    let cosigners = cosigners(loaded, &plan, false)?;
    let witness = Witness::open(store.clone(), cosigners, clock()).await?;
    let logs = match plan.logs {
        Some(logs) => {
            witness.follow_only(logs).map_err(|error| loaded.refused("witness.logs", &error))?;
            Witnessed::Given
        }
        None => Witnessed::OfConfiguration,
    };
    let listener = TcpListener::bind(plan.listen).await.map_err(|error| {
        Refused(format!("{} cannot be listened on ({error}). Choose another port for `witness.listen`", plan.listen))
    })?;
    Ok(Some(WitnessParts { witness, listener, logs }))
}

/// The Ed25519 key first: every reader of logs knows that kind.
fn cosigners(loaded: &Loaded<NodeSettings>, plan: &WitnessPlan, create: bool) -> anyhow::Result<Vec<Cosigner>> {
    let ring = key_ring(&loaded.path_of(&loaded.settings.store_key), create)?;
    let keys = SealedKeys::new(loaded.path_of(&loaded.settings.keys), ring, create);
    let named = |error| loaded.refused("witness.name", &error);
    Ok(vec![
        Cosigner::ed25519(&plan.name, keys.ed25519("witness")?).map_err(&named)?,
        Cosigner::ml_dsa(&plan.name, keys.ml_dsa("witness-ml-dsa")?).map_err(named)?,
    ])
}
