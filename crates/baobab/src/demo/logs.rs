//! The transparency logs of the nation. The State keeps one and the bank keeps one, and each witnesses the log of the other: a
//! checkpoint counts once both organisations have signed it.

use std::sync::Arc;

use authority::Authority;
use civic::ClientId;
use ledger::witness::Witness;
use ledger::{Ledger, LedgerClient, LedgerConfig, Submitter, Submitters};
use serde::Serialize;
use store::Store;
use trust::jose::Jwks;
use trust::keys::SigningKey;
use trust::note::policy::Policy;
use trust::note::{Cosigner, NoteSigner, VerifierKey};

use super::agency::Means;
use super::organisation::House;
use super::ports::{Organisation, Ports, socket_url};

/// A log as `demo.json` lists it: all that a stranger needs to audit it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LogDescription {
    /// The name of the log, the first line of its checkpoints.
    origin: String,
    /// The prefix under which C2SP tlog-tiles are served.
    url: String,
    /// Its Ed25519 key (C2SP signed-note).
    vkey: String,
    /// The quorum that its checkpoints need (C2SP tlog-policy).
    policy: String,
}

/// Whom a log is kept by.
#[derive(Clone)]
pub(super) struct Keeper {
    owner: Organisation,
    origin: &'static str,
    house: House,
}

/// A log whose witness is at work and that is not open yet: one with a policy signs nothing before its witness answers.
pub(super) struct Planned {
    keeper: Keeper,
    policy: Policy,
    witness_store: Store,
}

/// A log that runs.
pub(super) struct Log {
    ledger: Ledger,
    submitters: Submitters,
    url: String,
    policy: Policy,
    stores: [Store; 2],
}

/// The logs of the nation.
pub(super) struct Logs {
    pub(super) state: Log,
    pub(super) bank: Log,
}

/// Plans the logs of the State and of the bank, in this order, and starts the witness of each at the other.
pub(super) async fn plan(agency: &House, bank: &House, means: &Means<'_>) -> anyhow::Result<[Planned; 2]> {
    let state = Keeper { owner: Organisation::Agency, origin: "baobab.example/demo", house: agency.clone() };
    let bank = Keeper { owner: Organisation::Bank, origin: "baobab.example/demo-bank", house: bank.clone() };
    Ok([state.clone().witnessed_by(&bank, means).await?, bank.witnessed_by(&state, means).await?])
}

impl Keeper {
    async fn witnessed_by(self, other: &Self, means: &Means<'_>) -> anyhow::Result<Planned> {
        let witness_store = other.house.store("witness").await?;
        let name = format!("{}/witness", other.origin);
        let cosigners = vec![
            Cosigner::ed25519(&name, other.house.ed25519("witness")?)?,
            Cosigner::ml_dsa(&name, other.house.ml_dsa("witness-ml-dsa")?)?,
        ];
        let witness = Witness::open(witness_store.clone(), cosigners, Arc::clone(means.clock)).await?;
        let log = self.key()?;
        witness.follow(vec![
            log.clone(),
            Cosigner::ml_dsa(self.origin, self.house.ml_dsa("ledger-ml-dsa")?)?.verifier(),
        ])?;
        let port = means.ports.witness(other.owner);
        means.runner.serve(port, witness.router()).await?;
        let policy = policy(&log, &self.url(means.ports), other.owner, &witness.verifiers(), &socket_url(port))?;
        Ok(Planned { keeper: self, policy, witness_store })
    }

    fn key(&self) -> anyhow::Result<VerifierKey> {
        Ok(NoteSigner::new(self.origin, self.house.ed25519("ledger")?)?.verifier())
    }

    fn url(&self, ports: Ports) -> String {
        socket_url(ports.log(self.owner))
    }
}

/// The other organisation must have cosigned. Its ML-DSA-44 key is told too; whoever cannot verify that ignores the line.
fn policy(
    log: &VerifierKey,
    url: &str,
    witness: Organisation,
    keys: &[VerifierKey],
    witness_url: &str,
) -> anyhow::Result<Policy> {
    let name = witness.folder();
    let lines = keys.iter().zip(["", "-ml-dsa"]);
    let lines: Vec<String> =
        lines.map(|(key, suffix)| format!("witness {name}{suffix} {key} {witness_url}\n")).collect();
    Ok(Policy::parse(&format!("log {log} {url}\n{}quorum {name}\n", lines.concat()))?)
}

impl Planned {
    /// Opens the log to these submitters and serves it.
    pub(super) async fn open(self, submitters: Submitters, means: &Means<'_>) -> anyhow::Result<Log> {
        let Self { keeper, policy, witness_store } = self;
        let store = keeper.house.store("ledger").await?;
        let key = keeper.house.ed25519("ledger")?;
        let config = LedgerConfig::new(store.clone(), key, keeper.origin, Arc::clone(means.clock))
            .post_quantum(keeper.house.ml_dsa("ledger-ml-dsa")?)
            .witnesses(policy.clone());
        let ledger = Ledger::open_with(config).await?;
        let router = ledger::http::router(ledger.clone(), submitters.clone());
        means.runner.serve(means.ports.log(keeper.owner), router).await?;
        Ok(Log { ledger, submitters, url: keeper.url(means.ports), policy, stores: [store, witness_store] })
    }
}

impl Log {
    /// The key of the log.
    pub(super) fn verifier(&self) -> VerifierKey {
        self.ledger.verifier()
    }

    /// What its checkpoints need to count.
    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A client that appends by this name.
    pub(super) fn client(&self, name: &str, key: SigningKey, means: &Means<'_>) -> anyhow::Result<LedgerClient> {
        let submitter = Submitter::new(name, key)?;
        Ok(LedgerClient::new(&self.url, self.verifier(), Some(submitter), Arc::clone(means.clock))?)
    }

    fn describe(&self) -> LogDescription {
        LogDescription {
            origin: self.ledger.origin(),
            url: self.url.clone(),
            vkey: self.ledger.vkey(),
            policy: self.policy.to_string(),
        }
    }
}

impl Logs {
    /// From now on the node of this client appends with one of these keys, to either log.
    pub(super) fn know(&self, client: &ClientId, keys: &Jwks) {
        for log in self.all() {
            log.submitters.set(client.to_string(), keys.clone());
        }
    }

    const fn all(&self) -> [&Log; 2] {
        [&self.state, &self.bank]
    }

    /// Where the commitments of an organisation's node go: never to a log of its own.
    pub(super) const fn of_node(&self, organisation: Organisation) -> &Log {
        match organisation {
            Organisation::Agency => &self.bank,
            Organisation::Civil | Organisation::Fisc | Organisation::Bank => &self.state,
        }
    }

    /// Lets the authority name both logs with their quorum: every node follows them from its configuration.
    pub(super) async fn publish(&self, authority: &Authority) -> anyhow::Result<()> {
        for log in self.all() {
            authority.desk("process").put_logs(&log.policy).await?;
        }
        Ok(())
    }

    pub(super) fn describe(&self) -> Vec<LogDescription> {
        self.all().into_iter().map(Log::describe).collect()
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        self.all().into_iter().flat_map(|log| log.stores.clone()).collect()
    }
}
