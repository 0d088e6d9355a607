//! Our tiles, notes and proofs against implementations by others: `tlog_tiles` and `signed_note` (ports of the Go
//! originals) and `ct-merkle` (RFC 6962).

use std::collections::HashMap;

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use sha2::Sha256;
use sha2::digest::array::Array;
use signed_note::{StandardVerifier, VerifierList};
use tlog_tiles::{HashReader as _, TileHashReader, TileReader};
use trust::merkle::{Hash, Tile};
use trust::note::TlogProof;

use crate::log::{entry, fill, key, open};

/// The tiles of a log as they are served.
struct Served(HashMap<String, Vec<u8>>);

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // Their paths name the height of a tile first.
        Ok(tiles.iter().map(|tile| self.0[&tile.path().replace("tile/8/", "tile/")].clone()).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

fn digest(hash: &Hash) -> Array<u8, sha2::digest::consts::U32> {
    Array::from(*hash)
}

#[tokio::test]
async fn other_implementations_accept_our_tiles_notes_and_proofs() {
    const SIZE: u64 = 66_000;
    let ledger = open(&store::testing::sqlite().await, &key()).await.unwrap();
    fill(&ledger, 0, SIZE).await;

    let verifier = StandardVerifier::new(&ledger.vkey()).unwrap();
    let note = signed_note::Note::from_bytes(ledger.checkpoint().as_bytes()).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((checkpoint.size(), checkpoint.hash().0), (SIZE, ledger.root()));

    let mut served = HashMap::new();
    for level in 0..3 {
        for index in 0.. {
            let tile = Tile { level, index, width: Tile::width_in(level, index, SIZE) };
            if tile.width == 0 {
                break;
            }
            served.insert(tile.path(), ledger.tile(tile).await.unwrap().unwrap());
        }
    }
    let served = Served(served);
    let root = tlog_tiles::Hash(ledger.root());
    let hashes = TileHashReader::new(SIZE, root, &served);
    for index in [0, 255, 256, 65_535, 65_536, SIZE - 1] {
        let leaf = tlog_tiles::record_hash(&entry(index));
        assert_eq!(hashes.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).unwrap(), [leaf]);
        let ours = TlogProof::parse(&ledger.tlog_proof(index).await.unwrap()).unwrap().hashes;
        let theirs: Vec<Hash> =
            tlog_tiles::prove_record(SIZE, index, &hashes).unwrap().iter().map(|hash| hash.0).collect();
        assert_eq!(ours, theirs, "entry {index}");
        let path = InclusionProof::<Sha256>::from_digests(&ours.iter().map(digest).collect::<Vec<_>>());
        let root = RootHash::<Sha256>::new(digest(&ledger.root()), SIZE);
        root.verify_inclusion(&entry(index), index, &path).unwrap();
        assert!(root.verify_inclusion(&entry(index + 1), index, &path).is_err());
    }
    for old in [1, 256, 700, 65_536, SIZE - 1] {
        let ours = ledger.consistency(old, SIZE).await.unwrap();
        let old_root = tlog_tiles::tree_hash(old, &hashes).unwrap();
        let theirs: Vec<tlog_tiles::Hash> = ours.iter().map(|hash| tlog_tiles::Hash(*hash)).collect();
        tlog_tiles::check_tree(&theirs, SIZE, root, old, old_root).unwrap();
        let path = ConsistencyProof::<Sha256>::from_digests(&ours.iter().map(digest).collect::<Vec<_>>());
        let new = RootHash::<Sha256>::new(digest(&ledger.root()), SIZE);
        new.verify_consistency(&RootHash::new(digest(&old_root.0), old), &path).unwrap();
    }
}
