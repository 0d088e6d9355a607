use std::fmt;
use std::sync::Arc;

use civic::SharedRandom;
use trust::seal::KeyRing;

use crate::StoreError;

/// Seals columns: AES-256-GCM bound to table, column and row, so that a value copied elsewhere does not open.
///
/// Trusted: whoever holds the key ring reads every sealed column; whoever can write the database can delete values
/// and put back older ones of the same place, but can neither read nor forge them.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<KeyRing>,
    random: SharedRandom,
}

impl Sealer {
    pub(crate) fn new(keys: KeyRing, random: SharedRandom) -> Self {
        Self { keys: Arc::new(keys), random }
    }

    /// Seals a value for this place. Two seals of one value differ. [`StoreError::Unsealable`] beyond 1 GiB.
    pub fn seal(&self, table: &str, column: &str, row: impl AsRef<[u8]>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.keys
            .seal(&[b"column", table.as_bytes(), column.as_bytes(), row.as_ref()], plain, self.random.as_ref())
            .map_err(|error| StoreError::Unsealable { reason: error.to_string() })
    }

    /// Opens what was sealed for this place; [`StoreError::Sealed`] where it was altered, moved, or its key is gone.
    pub fn open(&self, table: &str, column: &str, row: impl AsRef<[u8]>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.keys
            .open(&[b"column", table.as_bytes(), column.as_bytes(), row.as_ref()], sealed)
            .map_err(|_| StoreError::Sealed { table: table.to_owned(), column: column.to_owned() })
    }

    /// A keyed digest of 32 bytes by which equal values of a column are found without opening any (HMAC-SHA-256).
    /// It shows that two rows hold the same value, and nothing else without the key.
    pub fn blind_index(&self, table: &str, column: &str, plain: &[u8]) -> Vec<u8> {
        self.keys.blind_index(&[b"index", table.as_bytes(), column.as_bytes()], plain).to_vec()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sealer")
    }
}
