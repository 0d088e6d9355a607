//! Entries one behind the other, each after its length in two bytes (C2SP tlog-tiles, "log entries").

/// Adds an entry; an entry that is too long was refused before it came here.
pub(crate) fn push(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle in order; `None` in place of the first that is cut short, and nothing after it.
pub(crate) fn entries(bundle: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(bundle);
    std::iter::from_fn(move || {
        let bytes = rest.filter(|bytes| !bytes.is_empty())?;
        let next = bytes.split_first_chunk::<2>().and_then(|(length, after)| {
            let length = usize::from(u16::from_be_bytes(*length));
            Some((after.get(..length)?, after.get(length..)?))
        });
        rest = next.map(|(_, after)| after);
        Some(next.map(|(entry, _)| entry))
    })
}

/// The bytes of the first `count` entries of a bundle; all of them where it has fewer.
pub(crate) fn beginning(bundle: &[u8], count: usize) -> &[u8] {
    let length: usize = entries(bundle).take(count).flatten().map(|entry| 2 + entry.len()).sum();
    bundle.get(..length).unwrap_or(bundle)
}

/// The entries of a bundle that must hold this many; `None` where it does not.
pub(crate) fn exactly(bundle: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    let found: Option<Vec<&[u8]>> = entries(bundle).collect();
    found.filter(|entries| entries.len() == count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_back_and_a_cut_one_is_noticed() {
        let all: [&[u8]; 3] = [b"first", b"", &[7; 300]];
        let mut bundle = Vec::new();
        for entry in all {
            push(&mut bundle, entry);
        }
        assert_eq!(exactly(&bundle, 3).unwrap(), all);
        assert_eq!(exactly(&bundle, 2), None);
        for end in 1..bundle.len() {
            let whole = end == 7 || end == 9;
            assert_eq!(entries(&bundle[..end]).last().unwrap().is_some(), whole, "{end}");
        }
        assert_eq!(entries(&[]).count(), 0);
        assert_eq!((beginning(&bundle, 0), beginning(&bundle, 2)), (&bundle[..0], &bundle[..9]));
        assert_eq!((beginning(&bundle, 3), beginning(&bundle, 4)), (bundle.as_slice(), bundle.as_slice()));
    }
}
