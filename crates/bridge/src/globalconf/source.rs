//! How the configuration of one instance is fetched: from the first source that serves a good one, in the highest version that it has.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use civic::{SharedClock, Timestamp};
use trust::globalconf::{Anchor, AnchorSource, Directory, PRIVATE_PARAMETERS, SHARED_PARAMETERS, TRANSPARENCY_LOGS};

use super::ConfigurationError;
use super::part::{LogsPart, Part, Realm, verify};
use crate::attempts::{Attempt, Attempts};
use crate::outbound::{Outbound, OutboundError};

/// The versions that this node reads, newest first.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=6;
const FETCH_LIMIT: Duration = Duration::from_secs(20);
const DIRECTORY_BYTES_MAX: usize = 1024 * 1024;
const SOURCES_MAX: usize = 16;
const NOT_FOUND: u16 = 404;
/// After this time a source is asked for a higher version than its last one again.
const ASK_HIGHER: Duration = Duration::from_hours(1);
/// So long must a source keep serving ever newer configurations that end before the present one, until they are believed: its clock
/// was ahead once. Somebody who plays old ones back has none that is newer than the present.
const DOUBT: Duration = Duration::from_hours(1);

/// Fetches, for several instances at once; remembers what it learnt about the sources.
pub(super) struct Fetcher {
    outbound: Outbound,
    clock: SharedClock,
    versions: Mutex<HashMap<String, (u32, Timestamp)>>,
    doubts: Mutex<HashMap<String, Doubt>>,
}

/// Configurations that end before the present one: since when they are offered, and the last of them.
#[derive(Clone, Copy)]
struct Doubt {
    since: Timestamp,
    last: Timestamp,
}

impl Fetcher {
    pub(super) fn new(outbound: Outbound, clock: SharedClock) -> Self {
        Self { outbound, clock, versions: Mutex::default(), doubts: Mutex::default() }
    }

    /// The configuration of an instance from its corrected sources; `present` is the one that holds now, and `noted` is told how each
    /// source was asked.
    pub(super) async fn fetch(
        &self,
        instance: &str,
        sources: &[AnchorSource],
        present: Option<&Part>,
        noted: Option<&Attempts>,
    ) -> Result<Part, ConfigurationError> {
        let mut last = ConfigurationError::Anchor("it names no source".to_owned());
        for source in sources {
            let fetched = self.fetch_from(instance, source, present).await;
            let error = fetched.as_ref().err().map(ToString::to_string);
            if let Some(noted) = noted {
                noted.note(&source.download_url, Attempt { at: self.clock.now(), error });
            }
            match fetched {
                Ok(part) => return Ok(part),
                Err(error) => {
                    tracing::debug!(source = source.download_url, %error, "a source of the configuration is passed over");
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn fetch_from(
        &self,
        instance: &str,
        source: &AnchorSource,
        present: Option<&Part>,
    ) -> Result<Part, ConfigurationError> {
        let url = source.download_url.as_str();
        let bytes = self.directory(url).await?;
        let directory = verify(&bytes, &source.certs, self.clock.now())?;
        self.refuse_older(instance, &directory, present)?;
        let refused = |error: String| ConfigurationError::Refused(error);
        let missing = || refused(format!("it has no shared parameters of the instance {instance}"));
        let entry = directory.part(SHARED_PARAMETERS, instance).ok_or_else(missing)?;
        let shared = self.file(url, entry, present).await?;
        let private = match directory.part(PRIVATE_PARAMETERS, instance) {
            Some(entry) => Some(self.file(url, entry, present).await?),
            None => None,
        };
        let logs = self.logs(url, instance, &directory, present).await;
        Ok(Part::new(instance, bytes, &directory, shared, private)?.with_logs(logs))
    }

    /// The transparency logs that the directory names. They are not needed for an exchange, so they are refused without the rest.
    async fn logs(&self, url: &str, instance: &str, directory: &Directory, present: Option<&Part>) -> LogsPart {
        let Some(entry) = directory.part(TRANSPARENCY_LOGS, instance) else { return LogsPart::default() };
        let read = match self.file(url, entry, present).await {
            Ok(file) => LogsPart::read(file, instance),
            Err(error) => Err(error.to_string()),
        };
        read.unwrap_or_else(|reason| {
            tracing::warn!(instance, reason, "the list of transparency logs is refused; the last good one stays");
            LogsPart::stays(present.map(|present| &present.logs), reason)
        })
    }

    /// The signed directory in the highest version that the source has.
    async fn directory(&self, url: &str) -> Result<Vec<u8>, ConfigurationError> {
        let now = self.clock.now();
        let known = self.versions().get(url).copied().filter(|(_, since)| now.since(*since) < ASK_HIGHER);
        let highest = known.map_or(*VERSIONS.end(), |(version, _)| version);
        let separator = if url.contains('?') { '&' } else { '?' };
        for version in (*VERSIONS.start()..=highest).rev() {
            let versioned = format!("{url}{separator}version={version}");
            match self.outbound.get(&versioned, FETCH_LIMIT, DIRECTORY_BYTES_MAX).await {
                Ok((_, bytes)) => {
                    let since = known.map_or(now, |(_, since)| since);
                    self.versions().insert(url.to_owned(), (version, since));
                    return Ok(bytes.to_vec());
                }
                Err(OutboundError::Status { status: NOT_FOUND, .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.versions().remove(url);
        Err(ConfigurationError::Refused(format!("{url} serves none of the versions {VERSIONS:?}")))
    }

    /// A configuration that ends before the present one was played back, or the source's clock was ahead once.
    fn refuse_older(
        &self,
        instance: &str,
        directory: &Directory,
        present: Option<&Part>,
    ) -> Result<(), ConfigurationError> {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(present) = present.filter(|present| directory.expires < present.expires) else {
            doubts.remove(instance);
            return Ok(());
        };
        let (now, offered) = (self.clock.now(), directory.expires);
        let doubt = doubts.entry(instance.to_owned()).or_insert(Doubt { since: now, last: offered });
        if offered < doubt.last {
            *doubt = Doubt { since: now, last: offered };
        }
        let alive = offered > doubt.last;
        doubt.last = offered;
        if alive && now.since(doubt.since) >= DOUBT {
            tracing::warn!(
                instance,
                "the source serves configurations that end earlier than one it signed: its clock was ahead"
            );
            doubts.remove(instance);
            return Ok(());
        }
        let message = format!(
            "it ends at {offered}, before the present one ({}): an old one was played back, or the clock of the source was ahead",
            present.expires
        );
        Err(ConfigurationError::Refused(message))
    }

    fn versions(&self) -> MutexGuard<'_, HashMap<String, (u32, Timestamp)>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file of the directory: the present one where it is the same.
    async fn file(
        &self,
        url: &str,
        entry: &trust::globalconf::DirectoryPart,
        present: Option<&Part>,
    ) -> Result<Vec<u8>, ConfigurationError> {
        if let Some(file) = present.and_then(|present| present.file(entry)) {
            return Ok(file);
        }
        let location = absolute(url, &entry.location)?;
        let (_, file) = self.outbound.get(&location, FETCH_LIMIT, trust::globalconf::FILE_BYTES_MAX).await?;
        entry.check(&file).map_err(|error| ConfigurationError::Refused(error.to_string()))?;
        Ok(file.to_vec())
    }
}

/// The sources of an anchor, corrected by a good configuration, then those that only the configuration names. Keys of a source may
/// change without a new anchor: the keys that a good configuration names sign the next one, and no others (PR-GCONF §3, since
/// X-Road 7.4). A source of the anchor that it does not name is a mirror: any of the named keys may sign there.
pub(super) fn corrected(anchor: &Anchor, realm: Realm, good: &Part) -> Vec<AnchorSource> {
    let named: Vec<(String, &[Vec<u8>])> = good
        .params
        .sources
        .iter()
        .map(|source| (format!("http://{}{}", source.address, realm.path()), realm.certs(source)))
        .filter(|(_, certs)| !certs.is_empty())
        .collect();
    let mut sources: Vec<AnchorSource> = anchor.sources.clone();
    if named.is_empty() {
        return sources;
    }
    for source in &mut sources {
        let same = named.iter().find(|(url, _)| is_same_host(url, &source.download_url));
        source.certs = match same {
            Some((_, certs)) => certs.to_vec(),
            None => named.iter().flat_map(|(_, certs)| certs.iter().cloned()).collect(),
        };
    }
    for (download_url, certs) in named {
        if !sources.iter().any(|known| is_same_host(&known.download_url, &download_url)) {
            sources.push(AnchorSource { download_url, certs: certs.to_vec() });
        }
    }
    sources.truncate(SOURCES_MAX);
    sources
}

/// Whether two addresses lead to the same host and port; `https` and `http` do.
fn is_same_host(one: &str, other: &str) -> bool {
    let host = |url: &str| url.parse::<http::Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
    host(one).is_some_and(|one| host(other).is_some_and(|other| one.eq_ignore_ascii_case(&other)))
}

/// The address of a file: its location is a path on the host of the directory (PR-GCONF §3.2).
fn absolute(url: &str, location: &str) -> Result<String, ConfigurationError> {
    let refused = || ConfigurationError::Refused(format!("`{url}` or the location of a file is no address"));
    let uri: http::Uri = url.parse().map_err(|_| refused())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(refused)?;
    if !location.starts_with('/') {
        return Err(refused());
    }
    Ok(format!("{scheme}://{authority}{location}"))
}

#[cfg(test)]
mod tests {
    use trust::globalconf::{ConfigurationSource, SharedParams};

    use super::*;

    fn anchor() -> Anchor {
        let source = |url: &str, cert: &[u8]| AnchorSource { download_url: url.to_owned(), certs: vec![cert.to_vec()] };
        let sources = vec![source("http://one/internalconf", b"first"), source("http://two/internalconf", b"second")];
        Anchor { generated_at: None, instance: "BB".to_owned(), sources }
    }

    fn present(sources: Vec<ConfigurationSource>) -> Part {
        Part {
            directory: Vec::new(),
            expires: Timestamp::from_seconds(0),
            version: 5,
            shared: Vec::new(),
            private: None,
            params: SharedParams { sources, ..SharedParams::empty("BB") },
            private_params: None,
            logs: LogsPart::default(),
        }
    }

    #[test]
    fn a_configuration_that_names_no_keys_leaves_the_anchor_as_it_is() {
        assert_eq!(corrected(&anchor(), Realm::Own, &present(Vec::new())), anchor().sources);
    }

    #[test]
    fn keys_and_addresses_of_a_good_configuration_need_no_new_anchor_and_others_are_believed_no_more() {
        let named = |address: &str, internal: &[u8], external: &[u8]| ConfigurationSource {
            address: address.to_owned(),
            internal_certs: vec![internal.to_vec()],
            external_certs: vec![external.to_vec()],
        };
        let present = present(vec![named("one", b"rotated", b"x"), named("three", b"third", b"y")]);
        let own = corrected(&anchor(), Realm::Own, &present);
        let urls: Vec<&str> = own.iter().map(|source| source.download_url.as_str()).collect();
        assert_eq!(urls, ["http://one/internalconf", "http://two/internalconf", "http://three/internalconf"]);
        assert_eq!(own[0].certs, [b"rotated".to_vec()]);
        assert_eq!(own[1].certs, [b"rotated".to_vec(), b"third".to_vec()], "a mirror");
        assert_eq!(own[2].certs, [b"third".to_vec()]);
        let federated = corrected(&anchor(), Realm::Federated, &present);
        assert_eq!(federated.last().unwrap().download_url, "http://three/externalconf");
        assert_eq!(federated.last().unwrap().certs, [b"y".to_vec()]);
    }

    #[test]
    fn a_file_is_fetched_from_the_host_of_its_directory_only() {
        let url = "http://one:80/internalconf?x=1";
        assert_eq!(absolute(url, "/V6/1/shared-params.xml").unwrap(), "http://one:80/V6/1/shared-params.xml");
        assert!(absolute(url, "http://elsewhere/x").is_err());
        assert!(absolute("internalconf", "/x").is_err());
    }
}
