//! The requests of an authority: files in a folder of its own, which the running process and the operator's commands share.
//!
//! `DIGEST.request.json` is a request, `DIGEST.answer.json` what was decided, and the empty `DIGEST.from.ADDRESS` says who sent it. How many
//! wait is told from names alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::bail;
use civic::{SharedClock, Timestamp};

use super::{JoinAnswer, JoinId, JoinRequest};
use crate::files::{make_private, write_durably};

/// Requests that wait at most.
pub(super) const WAITING_MAX: usize = 500;
/// Of those, requests that came from one address.
pub(super) const WAITING_OF_PEER_MAX: usize = 20;

/// The desk. Clones share it.
#[derive(Clone)]
pub(in crate::command) struct Desk {
    folder: PathBuf,
    wait: Duration,
    clock: SharedClock,
    one_at_a_time: Arc<Mutex<()>>,
}

/// What became of a request that a stranger sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits, or was decided.
    Kept(JoinId),
    /// As many wait as may.
    Full,
    /// As many wait from this address as may.
    PeerFull,
}

impl Desk {
    /// The desk of an authority, where requests wait for so long.
    pub(in crate::command) fn open(data: &Path, wait: Duration, clock: SharedClock) -> anyhow::Result<Self> {
        let folder = data.join("join");
        make_private(&folder)?;
        Ok(Self { folder, wait, clock, one_at_a_time: Arc::default() })
    }

    /// Takes in a request that was handed over to the operator. The same one again is no change.
    pub(in crate::command) fn take(&self, bytes: &[u8]) -> anyhow::Result<JoinId> {
        JoinRequest::from_bytes(bytes)?;
        let id = JoinId::of(bytes);
        if !self.knows(&id) {
            write_durably(&self.file(&id, "request"), bytes)?;
        }
        Ok(id)
    }

    /// Takes in a request that was checked and came from this address.
    pub(super) fn take_from(&self, bytes: &[u8], peer: IpAddr) -> anyhow::Result<Taken> {
        let _one_at_a_time = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let id = JoinId::of(bytes);
        let waiting = self.sweep()?;
        if self.knows(&id) {
            return Ok(Taken::Kept(id));
        }
        let peer = mark(peer);
        if waiting.len() >= WAITING_MAX {
            return Ok(Taken::Full);
        }
        if waiting.values().filter(|from| from.as_deref() == Some(peer.as_str())).count() >= WAITING_OF_PEER_MAX {
            return Ok(Taken::PeerFull);
        }
        write_durably(&self.folder.join(format!("{}.from.{peer}", id.0)), b"")?;
        write_durably(&self.file(&id, "request"), bytes)?;
        Ok(Taken::Kept(id))
    }

    /// Whether it waits, or was decided.
    pub(super) fn knows(&self, id: &JoinId) -> bool {
        self.file(id, "answer").exists() || (self.file(id, "request").exists() && !self.is_expired(id))
    }

    /// The requests that nobody decided on yet.
    pub(in crate::command) fn waiting(&self) -> anyhow::Result<Vec<(JoinId, JoinRequest)>> {
        self.fitting(|_| true)
    }

    /// The waiting request with this code.
    pub(in crate::command) fn by_code(&self, code: &str) -> anyhow::Result<(JoinId, JoinRequest)> {
        let wanted = code.trim().to_lowercase();
        let mut fitting = self.fitting(|id| id.code() == wanted)?.into_iter();
        match (fitting.next(), fitting.next()) {
            (Some(found), None) => Ok(found),
            (Some(_), Some(_)) => bail!("two requests have the code {code}: refuse both, and let the node ask again"),
            (None, _) => bail!("no request with the code {code} waits; `baobab authority list` shows those that do"),
        }
    }

    /// Writes down what was decided.
    pub(in crate::command) fn answer(&self, id: &JoinId, answer: &JoinAnswer) -> anyhow::Result<()> {
        write_durably(&self.file(id, "answer"), &serde_json::to_vec_pretty(answer)?)
    }

    pub(super) fn status(&self, id: &JoinId) -> anyhow::Result<Option<JoinAnswer>> {
        match fs::read(self.file(id, "answer")) {
            Ok(bytes) => return Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.knows(id).then_some(JoinAnswer::Waiting))
    }

    fn fitting(&self, wanted: impl Fn(&JoinId) -> bool) -> anyhow::Result<Vec<(JoinId, JoinRequest)>> {
        let waiting = self.names()?.waiting.into_keys().map(JoinId);
        let fitting = waiting.filter(|id| wanted(id) && !self.is_expired(id));
        fitting.map(|id| Ok((id.clone(), JoinRequest::from_bytes(&fs::read(self.file(&id, "request"))?)?))).collect()
    }

    /// Forgets what waited too long, and whence it came; tells what waits, with the address that it came from.
    fn sweep(&self) -> anyhow::Result<BTreeMap<String, Option<String>>> {
        let Names { mut waiting, marks } = self.names()?;
        waiting.retain(|digest, _| {
            let id = JoinId(digest.clone());
            !self.is_expired(&id) || fs::remove_file(self.file(&id, "request")).is_err()
        });
        for (digest, peer) in marks.into_iter().filter(|(digest, _)| !waiting.contains_key(digest)) {
            fs::remove_file(self.folder.join(format!("{digest}.from.{peer}")))?;
        }
        Ok(waiting)
    }

    fn names(&self) -> anyhow::Result<Names> {
        let (mut asked, mut answered, mut marks) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some((digest, rest)) = name.split_once('.').filter(|(digest, _)| JoinId::parse(digest).is_some())
            else {
                continue;
            };
            if rest == "request.json" {
                asked.insert(digest.to_owned());
            } else if rest == "answer.json" {
                answered.insert(digest.to_owned());
            } else if let Some(peer) = rest.strip_prefix("from.") {
                marks.insert(digest.to_owned(), peer.to_owned());
            }
        }
        let waiting = asked.difference(&answered).map(|digest| (digest.clone(), marks.get(digest).cloned())).collect();
        Ok(Names { waiting, marks })
    }

    /// Whether it has waited longer than requests wait; a node that still asks brings it anew.
    fn is_expired(&self, id: &JoinId) -> bool {
        let written = fs::metadata(self.file(id, "request")).and_then(|metadata| metadata.modified());
        let Ok(Ok(age)) = written.map(|moment| moment.duration_since(UNIX_EPOCH)) else { return false };
        let asked = Timestamp::from_micros(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        self.clock.now().since(asked) > self.wait
    }

    fn file(&self, id: &JoinId, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}.json", id.0))
    }
}

/// What the names of the files tell.
struct Names {
    /// What waits, with the address that it came from where it was sent.
    waiting: BTreeMap<String, Option<String>>,
    /// The address of each request that was sent, waiting or not.
    marks: BTreeMap<String, String>,
}

/// An address as a part of a file's name.
fn mark(peer: IpAddr) -> String {
    peer.to_string().replace(':', "_")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use civic::testing::TestClock;

    use super::super::tests::request;
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    struct Office {
        folder: tempfile::TempDir,
        clock: Arc<TestClock>,
        desk: Desk,
        request: JoinRequest,
    }

    impl Office {
        /// A desk, on the day of the machine: files bear its dates.
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let request = request(folder.path());
            let written = fs::metadata(folder.path()).unwrap().modified().unwrap();
            let today = written.duration_since(UNIX_EPOCH).unwrap().as_secs();
            let today = Timestamp::from_seconds(i64::try_from(today).unwrap());
            let clock = Arc::new(TestClock::at(&today.rfc3339()));
            let desk = Desk::open(folder.path(), DAY * 14, Arc::clone(&clock) as SharedClock).unwrap();
            Self { folder, clock, desk, request }
        }

        /// One of many requests that differ in the address only.
        fn request(&self, number: usize) -> Vec<u8> {
            let address = format!("node-{number}.example:5500");
            JoinRequest { address, ..self.request.clone() }.to_bytes().unwrap()
        }

        fn send(&self, number: usize, peer: &str) -> Taken {
            self.desk.take_from(&self.request(number), peer.parse().unwrap()).unwrap()
        }

        fn files(&self) -> usize {
            fs::read_dir(self.folder.path().join("join")).unwrap().count()
        }
    }

    #[test]
    fn a_request_waits_until_it_is_decided() {
        let Office { desk, request, .. } = &Office::open();
        let bytes = request.to_bytes().unwrap();
        let id = desk.take(&bytes).unwrap();
        assert_eq!(desk.take(&bytes).unwrap(), id);
        assert_eq!(desk.status(&id).unwrap(), Some(JoinAnswer::Waiting));
        assert_eq!(desk.by_code(&id.code().to_uppercase()).unwrap().0, id);
        desk.answer(&id, &JoinAnswer::Refused { reason: "unknown".to_owned() }).unwrap();
        assert!(desk.waiting().unwrap().is_empty());
        assert!(desk.by_code(&id.code()).is_err());
        assert!(desk.status(&id).unwrap().unwrap().certificates().is_err());
    }

    #[test]
    fn one_address_does_not_keep_others_from_joining() {
        let office = Office::open();
        for number in 0..WAITING_OF_PEER_MAX {
            assert!(matches!(office.send(number, "192.0.2.1"), Taken::Kept(_)));
        }
        assert_eq!(office.send(WAITING_OF_PEER_MAX, "192.0.2.1"), Taken::PeerFull);
        assert!(matches!(office.send(0, "192.0.2.1"), Taken::Kept(_)), "what waits already is asked for again");
        assert!(matches!(office.send(WAITING_OF_PEER_MAX, "2001:db8::"), Taken::Kept(_)));
        let (id, _) = office.desk.waiting().unwrap().swap_remove(0);
        let from_elsewhere = id == JoinId::of(&office.request(WAITING_OF_PEER_MAX));
        office.desk.answer(&id, &JoinAnswer::Refused { reason: "unknown".to_owned() }).unwrap();
        assert_eq!(office.send(501, "192.0.2.1") == Taken::PeerFull, from_elsewhere, "what is decided waits no more");
    }

    #[test]
    fn as_many_wait_as_may_and_the_operator_still_takes_what_is_handed_over() {
        let office = Office::open();
        for number in 0..WAITING_MAX {
            office.desk.take(&office.request(number)).unwrap();
        }
        assert_eq!(office.send(WAITING_MAX, "192.0.2.1"), Taken::Full);
        office.desk.take(&office.request(WAITING_MAX)).unwrap();
    }

    #[test]
    fn nobody_waits_for_ever_and_whoever_asks_again_waits_anew() {
        let office = Office::open();
        let Taken::Kept(id) = office.send(1, "192.0.2.1") else { unreachable!("it is the first") };
        office.clock.advance(DAY * 13);
        assert_eq!(office.desk.waiting().unwrap().len(), 1);
        office.clock.advance(DAY * 2);
        assert!(office.desk.waiting().unwrap().is_empty() && office.desk.by_code(&id.code()).is_err());
        assert_eq!(office.desk.status(&id).unwrap(), None);
        assert_eq!(office.files(), 2);
        office.send(2, "192.0.2.2");
        assert_eq!(office.files(), 2, "the old one is gone with whence it came");
    }
}
