use std::collections::{HashMap, VecDeque};

use trust::merkle::Hash;

/// The leaves that came last, so that a caller who lost an answer and asks again gets the same index.
///
/// Sixteen bytes of a leaf hash are kept: to have two entries share them, one would compute 2^64 hashes, and would fool
/// nobody but oneself about one's own entries.
#[derive(Debug)]
pub(crate) struct Recent {
    most: usize,
    places: HashMap<Key, u64>,
    order: VecDeque<Key>,
}

type Key = [u8; 16];

impl Recent {
    /// Remembers at most so many leaves.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, places: HashMap::new(), order: VecDeque::new() }
    }

    /// Where this leaf stands, if it came lately.
    pub(crate) fn position(&self, leaf: &Hash) -> Option<u64> {
        self.places.get(&key(leaf)).copied()
    }

    /// A leaf took its place; the oldest one is forgotten where there is no room.
    pub(crate) fn insert(&mut self, leaf: &Hash, position: u64) {
        let key = key(leaf);
        if self.most == 0 || self.places.insert(key, position).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }
}

fn key(leaf: &Hash) -> Key {
    let [start @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *leaf;
    start
}

#[cfg(test)]
mod tests {
    use trust::merkle::leaf_hash;

    use super::*;

    #[test]
    fn the_last_leaves_are_known_and_older_ones_forgotten() {
        let mut recent = Recent::new(3);
        for number in 0..5_u8 {
            recent.insert(&leaf_hash(&[number]), u64::from(number));
        }
        let known: Vec<Option<u64>> = (0..5_u8).map(|number| recent.position(&leaf_hash(&[number]))).collect();
        assert_eq!(known, [None, None, Some(2), Some(3), Some(4)]);
        recent.insert(&leaf_hash(&[3]), 9);
        assert_eq!((recent.position(&leaf_hash(&[3])), recent.order.len()), (Some(9), 3));
    }
}
