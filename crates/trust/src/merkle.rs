//! The Merkle tree of transparency logs: RFC 6962 §2.1 (the same hashes as RFC 9162 §2.1), with SHA-256.
//!
//! A tree is read through a function that gives the hash of a complete subtree by its height and position
//! ([`Node`]); where the hashes lie (tiles, memory, a network) is its business. [`Edge`] grows a tree leaf by leaf and
//! hands out the full tiles of C2SP tlog-tiles; [`Tile`] names them.
//!
//! ```
//! use trust::merkle::{Edge, leaf_hash, verify_inclusion};
//! let leaves = [leaf_hash(b"birth"), leaf_hash(b"marriage")];
//! let mut edge = Edge::default();
//! for leaf in leaves {
//!     edge.push(leaf, |_, _| {});
//! }
//! assert!(verify_inclusion(&leaves[0], 0, 2, &[leaves[1]], &edge.root()).is_ok());
//! ```

mod edge;
mod tiles;

pub use edge::Edge;
pub use tiles::{TILE_WIDTH, Tile, TileNode, TileTree, tiles_of};

use crate::digest::Sha256;

/// A SHA-256 hash of a node of the tree.
pub type Hash = [u8; 32];

/// No proof for a tree of at most 2^63 leaves is longer.
pub const PROOF_HASHES_MAX: usize = 63;

/// A complete subtree: it spans the leaves `index * 2^height .. (index + 1) * 2^height`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// How many levels above the leaves its root stands: 0 is a leaf.
    pub height: u32,
    /// Its position among the subtrees of this height, from the left.
    pub index: u64,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index or the size lies outside the tree.
    #[error("the tree of {size} leaves has no leaf or older tree {asked}")]
    OutOfRange {
        /// The index, or the size of the older tree.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The proof has too many or too few hashes for this place.
    #[error("the proof has {hashes} hashes, which is not what this place in the tree takes")]
    Length {
        /// How many it has.
        hashes: usize,
    },
    /// The hashes lead to another root: the log did not contain this, or the proof was altered.
    #[error("the proof leads to another root: the log did not hold this, or the proof was altered")]
    Root,
}

/// The hash of a leaf: SHA-256(0x00 || data).
pub fn leaf_hash(data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    hash.update(data);
    hash.finish()
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1_u8; 65];
    let (_, rest) = input.split_at_mut(1);
    for (to, from) in rest.iter_mut().zip(left.iter().chain(right)) {
        *to = *from;
    }
    crate::digest::sha256(&input)
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    crate::digest::sha256(&[])
}

/// The root over these hashes, taken as complete subtrees of one height from left to right (the last may be smaller).
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty_root(),
        [only] => *only,
        several => {
            let (left, right) = several.split_at(split(several.len() as u64) as usize);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The root of the tree of the first `size` leaves.
pub fn root<E>(size: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { range(0, size, read) }
}

/// The proof that leaf `index` is in the tree of the first `size` leaves (RFC 6962 §2.1.1): from its sibling up.
/// Empty where `index >= size`.
pub fn inclusion_proof<E>(
    index: u64,
    size: u64,
    read: &mut impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while index < size && end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(middle, end, read)?);
            end = middle;
        } else {
            path.push(range(start, middle, read)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of the first `old` leaves is a beginning of the tree of the first `new` (RFC 6962 §2.1.2).
/// Empty where `old` is 0, equal to `new`, or larger.
pub fn consistency_proof<E>(
    old: u64,
    new: u64,
    read: &mut impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    // Until the old tree ends exactly where the subtree under consideration does.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range(middle, end, read)?);
            end = middle;
        } else {
            proof.push(range(start, middle, read)?);
            start = middle;
        }
    }
    // The verifier knows this subtree only where it is the whole old tree.
    if start != 0 {
        proof.push(range(start, end, read)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks an inclusion proof (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let wrong_length = ProofError::Length { hashes: proof.len() };
    let (mut position, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(wrong_length),
    }
}

/// Checks a consistency proof (RFC 9162 §2.1.4.2). The tree without leaves begins every tree, with an empty proof.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let wrong_length = ProofError::Length { hashes: proof.len() };
    if old > new {
        return Err(ProofError::OutOfRange { asked: old, size: new });
    }
    if old == new || old == 0 {
        let roots_fit = if old == new { old_root == new_root } else { *old_root == empty_root() };
        return match (proof.is_empty(), roots_fit) {
            (false, _) => Err(wrong_length),
            (true, true) => Ok(()),
            (true, false) => Err(ProofError::Root),
        };
    }
    let (mut position, mut last) = (old - 1, new - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let mut hashes = proof.iter();
    // Where the old tree is complete, its root is the first hash and is not sent.
    let first = if old.is_power_of_two() { old_root } else { hashes.next().ok_or(wrong_length)? };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in hashes {
        if last == 0 {
            return Err(wrong_length);
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        position >>= 1;
        last >>= 1;
    }
    match (last, old_hash == *old_root && new_hash == *new_root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(wrong_length),
    }
}

/// The hash over the leaves `start..end`, where the range is one that the recursion of RFC 6962 makes.
fn range<E>(start: u64, end: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let leaves = end - start;
    if leaves.is_power_of_two() {
        let height = leaves.trailing_zeros();
        return read(Node { height, index: start >> height });
    }
    let middle = start + split(leaves);
    let left = range(start, middle, read)?;
    let right = range(middle, end, read)?;
    Ok(node_hash(&left, &right))
}

/// The largest power of two below `leaves`, which is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (u64::BITS - 1 - (leaves - 1).leading_zeros())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// The tree by the definition of RFC 6962 §2.1, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => empty_root(),
            1 => leaves[0],
            n => {
                let mut k = 1;
                while k * 2 < n {
                    k *= 2;
                }
                node_hash(&by_definition(&leaves[..k]), &by_definition(&leaves[k..]))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|index| leaf_hash(&index.to_be_bytes())).collect()
    }

    fn reader(leaves: &[Hash]) -> impl FnMut(Node) -> Result<Hash, Infallible> {
        move |node| {
            let span = 1_usize << node.height;
            let start = node.index as usize * span;
            Ok(by_definition(&leaves[start..start + span]))
        }
    }

    fn hex(text: &str) -> Hash {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// The test data of Certificate Transparency: eight leaves and their roots.
    #[test]
    fn the_known_vectors_hold() {
        let inputs =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        assert_eq!(empty_root(), hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        let leaves: Vec<Hash> = inputs.iter().map(|input| leaf_hash(&hex::decode(input).unwrap())).collect();
        for (index, expected) in roots.iter().enumerate() {
            assert_eq!(root_of(&leaves[..=index]), hex(expected), "{} leaves", index + 1);
        }
        let proof = inclusion_proof(5, 8, &mut reader(&leaves)).unwrap();
        let expected = [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(proof, expected.map(hex));
        let proof = consistency_proof(6, 8, &mut reader(&leaves)).unwrap();
        let expected = [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        assert_eq!(proof, expected.map(hex));
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_no_altered_one_does() {
        let all = leaves(40);
        for size in 1..=40_u64 {
            let tree = &all[..size as usize];
            let root_hash = root(size, &mut reader(tree)).unwrap();
            assert_eq!(root_hash, by_definition(tree));
            for index in 0..size {
                let proof = inclusion_proof(index, size, &mut reader(tree)).unwrap();
                assert_eq!(verify_inclusion(&all[index as usize], index, size, &proof, &root_hash), Ok(()));
                assert!(verify_inclusion(&all[index as usize], index + 1, size, &proof, &root_hash).is_err());
                assert!(verify_inclusion(&leaf_hash(b"x"), index, size, &proof, &root_hash).is_err());
            }
            for old in 0..=size {
                let old_root = by_definition(&all[..old as usize]);
                let proof = consistency_proof(old, size, &mut reader(tree)).unwrap();
                assert_eq!(verify_consistency(old, &old_root, size, &root_hash, &proof), Ok(()), "{old} {size}");
                if old > 0 && old < size {
                    assert!(verify_consistency(old, &leaf_hash(b"x"), size, &root_hash, &proof).is_err());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn an_altered_proof_never_holds(
            size in 2..200_u64, index in 0..200_u64, place in 0..10_usize, bit in 0..256_usize, cut in any::<bool>(),
        ) {
            let index = index % size;
            let all = leaves(size);
            let root_hash = by_definition(&all);
            let mut proof = inclusion_proof(index, size, &mut reader(&all)).unwrap();
            if cut {
                proof.pop();
            } else {
                let place = place % proof.len();
                proof[place][bit / 8] ^= 1 << (bit % 8);
            }
            prop_assert!(verify_inclusion(&all[index as usize], index, size, &proof, &root_hash).is_err());
            proof.extend([root_hash; 70]);
            prop_assert!(verify_inclusion(&all[index as usize], index, size, &proof, &root_hash).is_err());
        }

        #[test]
        fn an_altered_consistency_proof_never_holds(
            size in 3..200_u64, old in 1..200_u64, place in 0..10_usize, bit in 0..256_usize,
        ) {
            let old = 1 + old % (size - 1);
            let all = leaves(size);
            let (old_root, new_root) = (by_definition(&all[..old as usize]), by_definition(&all));
            let mut proof = consistency_proof(old, size, &mut reader(&all)).unwrap();
            prop_assert_eq!(verify_consistency(old, &old_root, size, &new_root, &proof), Ok(()));
            let place = place % proof.len();
            proof[place][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_consistency(old, &old_root, size, &new_root, &proof).is_err());
        }

        #[test]
        fn the_edge_and_its_tiles_agree_with_the_definition(size in 0..1_500_u64) {
            let all = leaves(size);
            let mut edge = Edge::default();
            let mut full = std::collections::HashMap::new();
            for leaf in &all {
                edge.push(*leaf, |tile, hashes| {
                    full.insert((tile.level, tile.index), hashes.to_vec());
                });
            }
            prop_assert_eq!(edge.size(), size);
            prop_assert_eq!(edge.root(), by_definition(&all));
            // Any node is found in the tiles that a reader of this size may fetch.
            let mut read = |node: Node| -> Result<Hash, Infallible> {
                let place = TileNode::of(node, size);
                let hashes = match full.get(&(place.tile.level, place.tile.index)) {
                    Some(hashes) => hashes.clone(),
                    None => edge.partial(place.tile.level).to_vec(),
                };
                Ok(place.hash_in(&hashes).unwrap())
            };
            if size > 0 {
                prop_assert_eq!(root(size, &mut read).unwrap(), by_definition(&all));
                let proof = inclusion_proof(size / 3, size, &mut read).unwrap();
                let root_hash = edge.root();
                prop_assert_eq!(verify_inclusion(&all[size as usize / 3], size / 3, size, &proof, &root_hash), Ok(()));
            }
            let again = Edge::from_partial(size, |level| edge.partial(level).to_vec()).unwrap();
            prop_assert_eq!(again.root(), edge.root());
        }
    }
}
