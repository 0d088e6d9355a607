//! The transparency logs that the federation relies on: who must have witnessed a checkpoint before it counts. Nodes learn it with
//! the next configuration.

use trust::globalconf::{FederationLog, TransparencyLogs};
use trust::note::policy::Policy;

use super::found;
use crate::{AuthorityError, Desk, store};

impl Desk {
    /// The logs by their origins.
    pub async fn logs(&self) -> Result<Vec<FederationLog>, AuthorityError> {
        Ok(self.registry().await?.logs)
    }

    /// Names the logs of a policy (C2SP tlog-policy), whose log lines have addresses, or gives those that are named already new
    /// witnesses and another quorum. Returns them.
    pub async fn put_logs(&self, policy: &Policy) -> Result<Vec<FederationLog>, AuthorityError> {
        let logs = FederationLog::of_policy(policy)?;
        if logs.is_empty() {
            return Err(AuthorityError::Settings("the policy names no log".to_owned()));
        }
        if let Some(name) = policy.counted_twice() {
            let reason = format!(
                "`{name}` stands twice in one group, so one organisation would count as two: write `group {name}-any any` with its keys, \
                 and that group in their place"
            );
            return Err(AuthorityError::Settings(reason));
        }
        let origins: Vec<&str> = logs.iter().map(FederationLog::origin).collect();
        let (subject, detail) = (origins.join(" "), summary(policy));
        let (put, instance) = (logs.clone(), self.authority.0.config.instance.clone());
        self.change("log.put", subject, detail, move |tx, _| {
            put.iter().try_for_each(|log| store::put_log(tx, log))?;
            // All of them together must be what a node reads.
            TransparencyLogs { instance: instance.clone(), logs: store::logs(tx)? }.write()?;
            Ok(())
        })
        .await?;
        Ok(logs)
    }

    /// The federation relies on this log no more.
    pub async fn delete_log(&self, origin: &str) -> Result<(), AuthorityError> {
        let origin = origin.to_owned();
        self.change("log.delete", origin.clone(), String::new(), move |tx, _| {
            found(store::delete_log(tx, &origin)?, "log", &origin)
        })
        .await
    }
}

/// Witnesses, groups and quorum without keys: what the audit tells, short enough for it.
fn summary(policy: &Policy) -> String {
    let names: Vec<&str> = policy.witnesses().iter().map(|witness| witness.name.as_str()).collect();
    let text = policy.to_string();
    let rules = text.lines().filter(|line| line.starts_with("group ") || line.starts_with("quorum "));
    // The quorum first: the text may be cut.
    let rules: Vec<&str> = rules.collect();
    format!("{}; witnesses {}", rules.into_iter().rev().collect::<Vec<_>>().join("; "), names.join(" "))
}
