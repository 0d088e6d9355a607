//! Archives of message logs: X-Road's own with their verdicts, and ours.

use civic::Timestamp;
use trust::archive::{After, Archive, ArchiveBuilder, ArchiveError, Previous, verify_archive};
use trust::asic::Container;
use trust::digest::DigestAlgorithm;

use crate::samples;

fn at() -> Timestamp {
    Timestamp::from_seconds(1_795_300_800)
}

fn archive(previous: Option<&Previous>, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ArchiveBuilder::new(DigestAlgorithm::Sha512, previous);
    for (name, bytes) in files {
        builder.add(name, at(), bytes).unwrap();
    }
    builder.finish(at(), "roles=cp").unwrap()
}

fn following(archive: &Archive) -> Previous {
    Previous { digest: archive.digest.clone(), file: "mlog-1.zip".to_owned() }
}

#[test]
fn the_sample_archives_get_the_verdicts_of_x_road() {
    let Some(root) = samples::folder("archives of X-Road") else { return };
    let judge = |name: &str| verify_archive(&std::fs::read(root.join("archive").join(name)).unwrap(), After::Nothing);
    let good = judge("mlog-WITH_LINKINGINFO.zip").unwrap();
    assert_eq!((good.algorithm, good.previous.is_none(), good.containers.len()), (DigestAlgorithm::Sha256, true, 1));
    assert_eq!(good.digest, "624334053a96e0e1209d342514b5d890aeaeee8f0659da69688a3eeac0304856");
    let rest = judge("message-archive-0.zip").unwrap();
    assert_eq!(rest.algorithm, DigestAlgorithm::Sha512);
    for archive in [&good, &rest] {
        assert!(archive.containers.iter().all(|file| Container::read(&file.bytes).is_ok()));
    }
    let refused = judge("mlog-WITH_INVALID_LINKINGINFO.zip").unwrap_err();
    assert!(matches!(refused, ArchiveError::LinkingInfo { line: 2, .. }), "{refused}");
}

#[test]
fn an_archive_holds_what_was_put_in_and_the_next_one_follows_it() {
    let first = verify_archive(&archive(None, &[("a.asice", b"one"), ("b.asice", b"two")]), After::Nothing).unwrap();
    assert_eq!((first.containers.len(), first.comment.as_str()), (2, "roles=cp"));
    assert_eq!(first.containers.last().unwrap().digest, first.digest);
    let second = archive(Some(&following(&first)), &[("c.asice", b"three")]);
    let judged = verify_archive(&second, After::Digest(&first.digest)).unwrap();
    assert_eq!(judged.previous, Some(following(&first)));
    assert!(verify_archive(&second, After::Any).is_ok());
    for after in [After::Nothing, After::Digest(&judged.digest)] {
        assert!(matches!(verify_archive(&second, after), Err(ArchiveError::Previous { .. })));
    }
}

#[test]
fn a_container_that_was_altered_added_left_out_or_moved_is_seen() {
    let files: [(&str, &[u8]); 3] = [("a.asice", b"one"), ("b.asice", b"two"), ("c.asice", b"three")];
    let bytes = archive(None, &files);
    let place = |needle: &[u8]| bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    let mut altered = bytes.clone();
    altered[place(b"two")] = b'T';
    assert!(verify_archive(&altered, After::Nothing).is_err());
    // The linking information of one archive beside the containers of another.
    let with = |names: &[(&str, &[u8])], info: &str| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, content) in names.iter().copied().chain([("linkinginfo", info.as_bytes())]) {
            zip.start_file(name, options).unwrap();
            std::io::Write::write_all(&mut zip, content).unwrap();
        }
        verify_archive(&zip.finish().unwrap().into_inner(), After::Nothing)
    };
    let judged = verify_archive(&bytes, After::Nothing).unwrap();
    let lines: Vec<String> = judged.containers.iter().map(|file| format!("{} {}", file.digest, file.name)).collect();
    let info = format!("- - SHA-512\n{}\n", lines.join("\n"));
    assert!(with(&files, &info).is_ok());
    assert_eq!(with(&files[..2], &info), Err(ArchiveError::Files("c.asice".to_owned())));
    let more = [files.as_slice(), &[("d.asice", b"four".as_slice())]].concat();
    assert_eq!(with(&more, &info), Err(ArchiveError::Files("d.asice".to_owned())));
    let moved = [files[1], files[0], files[2]];
    assert_eq!(with(&moved, &info), Err(ArchiveError::Digest("b.asice".to_owned())));
    let twice = format!("{info}{}\n", lines[0]);
    assert!(matches!(with(&files, &twice), Err(ArchiveError::LinkingInfo { line: 5, .. })));
    assert!(matches!(with(&files, "- - SHA-1\n"), Err(ArchiveError::LinkingInfo { line: 1, .. })));
    assert!(matches!(with(&[], "- - SHA-512\n"), Err(ArchiveError::NotArchive(_))));
    assert!(matches!(verify_archive(b"text", After::Any), Err(ArchiveError::NotArchive(_))));
}

#[test]
fn a_name_that_linking_information_cannot_hold_is_refused() {
    let mut builder = ArchiveBuilder::new(DigestAlgorithm::Sha512, None);
    builder.add("a.asice", at(), b"one").unwrap();
    for name in ["", "linkinginfo", "a b.asice", "a.asice"] {
        assert!(builder.add(name, at(), b"two").is_err(), "{name}");
    }
    assert_eq!((builder.len(), builder.bytes(), builder.is_empty()), (1, 3, false));
}
