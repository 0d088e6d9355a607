use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Note, NoteError, NoteSigner, VerifierKey};
use crate::merkle::Hash;

/// What a log says about itself at one size (C2SP tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Further lines; we write none.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint without extension lines. The origin must be able to name a key.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Result<Self, NoteError> {
        let origin = origin.into();
        super::check_name(&origin)?;
        Ok(Self { origin, size, root, extensions: Vec::new() })
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// The signed note of this checkpoint.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String, NoteError> {
        signer.sign(&self.text()).map(|note| note.to_string())
    }

    /// Reads the text of a checkpoint. Nothing of it is to be believed: see [`Checkpoint::open`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let refused = |reason| NoteError::Malformed { what: "checkpoint", reason };
        let lines = text.strip_suffix('\n').ok_or(refused("it does not end in a newline"))?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(refused("it has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(refused("the origin is empty"));
        }
        let size = decimal(size).ok_or(refused("the size is no decimal number"))?;
        let root = STANDARD.decode(root).ok().and_then(|root| Hash::try_from(root).ok());
        let root = root.ok_or(refused("the root is not 32 bytes in base64"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(refused("an extension line is empty"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Reads a signed checkpoint and verifies that this log signed it: its key, and its name as the origin.
    pub fn open(note: &str, log: &VerifierKey) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        note.verify(std::slice::from_ref(log))?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != log.name() {
            return Err(NoteError::Origin { expected: log.name().to_owned(), found: checkpoint.origin });
        }
        Ok(checkpoint)
    }
}

/// A decimal number in its only spelling: no sign, no leading zero.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn signer(name: &str) -> NoteSigner {
        NoteSigner::new(name, SigningKey::generate_ed25519().unwrap()).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.text(), text);
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused_even_when_signed() {
        let signer = signer("log.example/state");
        let other = Checkpoint::new("log.example/other", 1, [1; 32]).unwrap().sign(&signer).unwrap();
        assert!(matches!(Checkpoint::open(&other, &signer.verifier()), Err(NoteError::Origin { .. })));
        let own = Checkpoint::new("log.example/state", 1, [1; 32]).unwrap();
        assert_eq!(Checkpoint::open(&own.sign(&signer).unwrap(), &signer.verifier()), Ok(own));
    }

    #[test]
    fn numbers_and_roots_have_one_spelling() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for wrong in [
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            format!("\n1\n{root}\n"),
            format!("a\n1\n{root}"),
            format!("a\n1\n{root}\n\nb\n"),
            "a\n1\nAAAA\n".to_owned(),
            "a\n1\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
