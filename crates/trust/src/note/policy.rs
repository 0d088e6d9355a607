//! Which logs are trusted, and which witnesses must have cosigned a checkpoint before it counts (C2SP tlog-policy).
//!
//! ```
//! use trust::note::policy::Policy;
//! # use trust::{keys::SigningKey, note::{Checkpoint, Cosigner, NoteSigner}};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let log = NoteSigner::new("log.example/state", SigningKey::generate_ed25519()?)?;
//! # let bank = Cosigner::ed25519("witness.example/bank", SigningKey::generate_ed25519()?)?;
//! let text = format!("log {}\nwitness bank {}\nquorum bank\n", log.verifier(), bank.verifier());
//! let policy = Policy::parse(&text)?;
//! let mut note = log.sign(&Checkpoint::new("log.example/state", 1, [7; 32])?.text())?;
//! assert!(!policy.judge(&note)?.quorum);
//! bank.add_to(&mut note, 1_790_000_000)?;
//! assert!(policy.judge(&note)?.quorum);
//! # Ok(()) }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::{Checkpoint, Note, NoteAlgorithm, NoteError, VerifierKey};

/// No policy that we read is longer, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;
/// No policy has more logs, witnesses or groups (each) than this; the specification asks for at least 32.
pub const MEMBERS_MAX: usize = 256;

/// A trust policy: the logs, the witnesses, and the rule that makes a quorum of them.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

impl Policy {
    /// A name whose keys stand side by side in a group that needs more than one member: its owner would count as two.
    pub fn counted_twice(&self) -> Option<&str> {
        self.groups.iter().filter(|group| group.needed > 1).find_map(|group| {
            let mut names = BTreeSet::new();
            let of_witness = |member: &Member| match member {
                Member::Witness(place) => self.witnesses.get(*place).map(|witness| witness.key.name()),
                Member::Group(_) => None,
            };
            group.members.iter().filter_map(of_witness).find(|name| !names.insert(*name))
        })
    }
}

/// A log that a policy trusts.
#[derive(Debug, Clone)]
pub struct PolicyLog {
    /// Its key; the name of the key is the origin.
    pub key: VerifierKey,
    /// Where it is served.
    pub url: Option<String>,
}

/// A witness that a policy knows.
#[derive(Debug, Clone)]
pub struct PolicyWitness {
    /// What the policy calls it.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
    /// Its submission prefix (C2SP tlog-witness).
    pub url: Option<String>,
}

#[derive(Debug, Clone)]
struct Group {
    name: String,
    needed: usize,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// What a policy says of a checkpoint that one of its logs signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The witnesses that cosigned it, by the names of the policy, with their moments (seconds since the Unix epoch).
    pub cosigned: Vec<(String, u64)>,
    /// Whether they make the quorum. Where not, the checkpoint is the log's word alone.
    pub quorum: bool,
}

impl Policy {
    /// The policy that trusts this log without any witness: `quorum none`.
    pub fn log_only(key: VerifierKey) -> Self {
        Self { logs: vec![PolicyLog { key, url: None }], ..Self::default() }
    }

    /// Reads a policy. [`NoteError::Policy`] names the line that is wrong. Limits: 256 KiB, 256 of each kind.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(refused(0, "it is longer than 256 KiB"));
        }
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.split('\n')) {
            reader.line(line).map_err(|reason| NoteError::Policy { line: number, reason })?;
        }
        if !reader.quorum_seen {
            return Err(refused(text.split('\n').count(), "there is no quorum line"));
        }
        Ok(reader.policy)
    }

    /// The logs.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The same policy for each of its logs alone; lines of one name are the keys of one log.
    pub fn by_log(&self) -> Vec<(PolicyLog, Self)> {
        let mut origins: Vec<(PolicyLog, Self)> = Vec::new();
        for log in &self.logs {
            let known = origins.iter_mut().find(|(first, _)| first.key.name() == log.key.name());
            match known {
                Some((_, policy)) => policy.logs.push(log.clone()),
                None => origins.push((log.clone(), Self { logs: vec![log.clone()], ..self.clone() })),
            }
        }
        origins
    }

    /// The witnesses.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether any witness is asked for at all.
    pub fn wants_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Whether the witnesses of these names make the quorum.
    pub fn is_quorum<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        let place_of = |name| self.witnesses.iter().position(|witness| witness.name == name);
        let there = names.into_iter().filter_map(place_of).map(|place| (place, 0)).collect();
        self.quorum.is_none_or(|rule| self.holds(rule, &there))
    }

    /// Checks that one of the logs signed this checkpoint and says which witnesses did. An error where no log of the
    /// policy signed it, where the origin is another, or where a known key's signature is not over this text.
    pub fn judge(&self, note: &Note) -> Result<Verdict, NoteError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let logs: Vec<VerifierKey> = self.logs.iter().map(|log| log.key.clone()).collect();
        let signers = note.verify(&logs)?;
        if let Some(other) = signers.iter().find(|key| key.name() != checkpoint.origin) {
            let (expected, found) = (other.name().to_owned(), checkpoint.origin);
            return Err(NoteError::Origin { expected, found });
        }
        let mut moments: BTreeMap<usize, u64> = BTreeMap::new();
        for signature in note.signatures() {
            let Some(place) = self.witnesses.iter().position(|witness| witness.key.is_of(signature)) else { continue };
            let Some(witness) = self.witnesses.get(place) else { continue };
            if let Some(time) = witness.key.verify(note.text(), &signature.bytes)? {
                moments.insert(place, time);
            }
        }
        let quorum = self.quorum.is_none_or(|rule| self.holds(rule, &moments));
        let name_of = |(place, time): (&usize, &u64)| Some((self.witnesses.get(*place)?.name.clone(), *time));
        Ok(Verdict { checkpoint, cosigned: moments.iter().filter_map(name_of).collect(), quorum })
    }

    fn holds(&self, rule: Member, moments: &BTreeMap<usize, u64>) -> bool {
        match rule {
            Member::Witness(place) => moments.contains_key(&place),
            // Members stand before their group, so this ends.
            Member::Group(place) => self.groups.get(place).is_some_and(|group| {
                group.members.iter().filter(|member| self.holds(**member, moments)).count() >= group.needed
            }),
        }
    }

    fn name_of(&self, member: Member) -> &str {
        match member {
            Member::Witness(place) => self.witnesses.get(place).map_or("", |witness| &witness.name),
            Member::Group(place) => self.groups.get(place).map_or("", |group| &group.name),
        }
    }
}

impl FromStr for Policy {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text)
    }
}

impl fmt::Display for Policy {
    /// The policy as a file.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = |url: &Option<String>| url.as_ref().map(|url| format!(" {url}")).unwrap_or_default();
        for log in &self.logs {
            writeln!(formatter, "log {}{}", log.key, url(&log.url))?;
        }
        for witness in &self.witnesses {
            writeln!(formatter, "witness {} {}{}", witness.name, witness.key, url(&witness.url))?;
        }
        for group in &self.groups {
            let members: Vec<&str> = group.members.iter().map(|member| self.name_of(*member)).collect();
            writeln!(formatter, "group {} {} {}", group.name, group.needed, members.join(" "))?;
        }
        writeln!(formatter, "quorum {}", self.quorum.map_or("none", |member| self.name_of(member)))
    }
}

#[derive(Default)]
struct Reader {
    policy: Policy,
    names: BTreeMap<String, (Member, bool)>,
    quorum_seen: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.chars().any(|character| character.is_control() && character != '\t') {
            return Err("it holds a control character".to_owned());
        }
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, needed, members @ ..] => self.group(name, needed, members),
            ["quorum", name] => self.quorum(name),
            _ => Err("it is none of log, witness, group and quorum, or has another number of words".to_owned()),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), String> {
        let key: VerifierKey = key.parse().map_err(|error: NoteError| error.to_string())?;
        if key.algorithm() == NoteAlgorithm::Ed25519Cosignature {
            return Err("a cosignature/v1 key cannot be that of a log".to_owned());
        }
        if self.policy.logs.iter().any(|log| log.key.same_key(&key)) {
            return Err("this key stands here already".to_owned());
        }
        room(self.policy.logs.len())?;
        self.policy.logs.push(PolicyLog { key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key: VerifierKey = key.parse().map_err(|error: NoteError| error.to_string())?;
        if key.algorithm() == NoteAlgorithm::Ed25519 {
            return Err("the key of a witness must be of type 0x04 or 0x06".to_owned());
        }
        if self.policy.witnesses.iter().any(|witness| witness.key.same_key(&key)) {
            return Err("this key stands here already".to_owned());
        }
        room(self.policy.witnesses.len())?;
        self.define(name, Member::Witness(self.policy.witnesses.len()))?;
        self.policy.witnesses.push(PolicyWitness { name: name.to_owned(), key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, words: &[&str]) -> Result<(), String> {
        room(self.policy.groups.len())?;
        let mut members = Vec::new();
        for word in words {
            let (member, taken) = self.names.get_mut(*word).ok_or(format!("`{word}` is not defined above"))?;
            if std::mem::replace(taken, true) {
                return Err(format!("`{word}` is a member of a group already"));
            }
            members.push(*member);
        }
        let needed = match needed {
            "all" => members.len(),
            "any" => 1,
            number => super::checkpoint::decimal(number).and_then(|needed| usize::try_from(needed).ok()).unwrap_or(0),
        };
        if needed < 1 || needed > members.len() {
            return Err("the number of members needed must be all, any, or from 1 to their number".to_owned());
        }
        self.define(name, Member::Group(self.policy.groups.len()))?;
        self.policy.groups.push(Group { name: name.to_owned(), needed, members });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), String> {
        if std::mem::replace(&mut self.quorum_seen, true) {
            return Err("there is more than one quorum line".to_owned());
        }
        if name != "none" {
            let (member, _) = self.names.get(name).ok_or(format!("`{name}` is not defined above"))?;
            self.policy.quorum = Some(*member);
        }
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" || self.names.contains_key(name) {
            return Err(format!("the name `{name}` is taken"));
        }
        self.names.insert(name.to_owned(), (member, false));
        Ok(())
    }
}

fn room(taken: usize) -> Result<(), String> {
    if taken < MEMBERS_MAX { Ok(()) } else { Err("there are more than 256 of this kind".to_owned()) }
}

fn refused(line: usize, reason: &str) -> NoteError {
    NoteError::Policy { line, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::keys::SigningKey;
    use crate::mldsa::MlDsaKey;
    use crate::note::{Cosigner, NoteSigner};

    fn log() -> NoteSigner {
        NoteSigner::new("log.example/state", SigningKey::generate_ed25519().unwrap()).unwrap()
    }

    fn witness(name: &str) -> Cosigner {
        Cosigner::ed25519(name, SigningKey::generate_ed25519().unwrap()).unwrap()
    }

    fn note(log: &NoteSigner) -> Note {
        log.sign(&Checkpoint::new("log.example/state", 3, [9; 32]).unwrap().text()).unwrap()
    }

    /// The two levels of groups of the example in the specification.
    #[test]
    fn two_of_one_group_and_any_of_another_make_the_quorum() {
        let log = log();
        let x: Vec<Cosigner> = (1..=3).map(|number| witness(&format!("x{number}"))).collect();
        let y: Vec<Cosigner> = vec![witness("y1"), Cosigner::ml_dsa("y2", MlDsaKey::generate().unwrap()).unwrap()];
        let mut text = format!("# a policy\n\n log\t{} https://log.example/state\n", log.verifier());
        for (names, cosigners) in [("X", &x), ("Y", &y)] {
            for (number, cosigner) in (1..).zip(cosigners) {
                writeln!(text, "witness {names}{number} {}", cosigner.verifier()).unwrap();
            }
        }
        text += "group X 2 X1 X2 X3\ngroup Y any Y1 Y2\ngroup X-and-Y all X Y\nquorum X-and-Y\n";
        let policy = Policy::parse(&text).unwrap();
        let again = Policy::parse(&policy.to_string()).unwrap();
        assert_eq!(again.to_string(), policy.to_string());
        let verdict = |cosigners: &[&Cosigner]| {
            let mut note = note(&log);
            for cosigner in cosigners {
                cosigner.add_to(&mut note, 5).unwrap();
            }
            policy.judge(&note).unwrap()
        };
        assert!(!verdict(&[]).quorum);
        assert!(!verdict(&[&x[0], &x[1]]).quorum);
        assert!(!verdict(&[&x[0], &y[0]]).quorum);
        assert!(!verdict(&[&x[0], &x[0], &y[0]]).quorum, "one witness counts once");
        assert!(verdict(&[&x[0], &x[2], &y[1]]).quorum);
        assert_eq!(verdict(&[&y[1]]).cosigned, [("Y2".to_owned(), 5)]);
    }

    #[test]
    fn two_keys_of_one_name_are_seen_where_they_would_count_as_two() {
        let (bank, court) = (witness("bank"), witness("court"));
        let second = Cosigner::ml_dsa("bank", MlDsaKey::generate().unwrap()).unwrap();
        let keys = format!(
            "log {}\nwitness a {}\nwitness b {}\nwitness c {}\n",
            log().verifier(),
            bank.verifier(),
            second.verifier(),
            court.verifier()
        );
        let counted =
            |groups: &str| Policy::parse(&format!("{keys}{groups}")).unwrap().counted_twice().map(str::to_owned);
        assert_eq!(counted("group two 2 a b c\nquorum two"), Some("bank".to_owned()));
        assert_eq!(counted("group bank any a b\ngroup two all bank c\nquorum two"), None);
        assert_eq!(counted("group one any a b c\nquorum one"), None);
    }

    #[test]
    fn a_checkpoint_that_no_log_of_the_policy_signed_is_refused() {
        let (log, other, w) = (log(), log(), witness("w"));
        let policy = format!("log {}\nwitness w {}\nquorum w", log.verifier(), w.verifier());
        let policy: Policy = policy.parse().unwrap();
        let mut foreign = note(&other);
        w.add_to(&mut foreign, 5).unwrap();
        assert!(matches!(policy.judge(&foreign), Err(NoteError::Unsigned(_))), "a witness alone is not enough");
        let elsewhere = log.sign(&Checkpoint::new("log.example/other", 3, [9; 32]).unwrap().text()).unwrap();
        assert!(matches!(policy.judge(&elsewhere), Err(NoteError::Origin { .. })));
        let mut altered = note(&log);
        let mut signature = w.cosign(altered.text(), 5).unwrap();
        signature.bytes[20] ^= 1;
        altered.push(signature);
        assert!(matches!(policy.judge(&altered), Err(NoteError::BadSignature(_))));
        assert!(Policy::log_only(log.verifier()).judge(&note(&log)).unwrap().quorum);
    }

    #[test]
    fn a_policy_that_is_wrong_is_refused_by_its_line() {
        let (log, w) = (log().verifier(), witness("w").verifier());
        let two = witness("w2").verifier();
        for (text, line) in [
            (String::new(), 1),
            (format!("log {log}\n"), 2),
            ("quorum none\nquorum none\n".to_owned(), 2),
            ("quorum w\n".to_owned(), 1),
            (format!("log {log}\nlog {log}\nquorum none"), 2),
            (format!("log {w}\nquorum none"), 1),
            (format!("witness w {log}\nquorum none"), 1),
            (format!("witness w {w}\nwitness x {w}\nquorum none"), 2),
            (format!("witness w {w}\nwitness w {two}\nquorum none"), 2),
            (format!("witness none {w}\nquorum none"), 1),
            (format!("witness w {w}\ngroup g all w\ngroup h all w\nquorum g"), 3),
            (format!("witness w {w}\ngroup g 2 w\nquorum g"), 2),
            (format!("witness w {w}\ngroup g 0 w\nquorum g"), 2),
            (format!("witness w {w}\ngroup g +1 w\nquorum g"), 2),
            ("group g all\nquorum g".to_owned(), 1),
            ("group g all none\nquorum g".to_owned(), 1),
            ("rubbish\nquorum none".to_owned(), 1),
            ("quorum none\r\n".to_owned(), 1),
        ] {
            assert!(matches!(Policy::parse(&text), Err(NoteError::Policy { line: at, .. }) if at == line), "{text}");
        }
    }
}
