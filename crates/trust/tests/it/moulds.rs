//! Reading and keeping signatures by what they have in common.

use trust::cert::CertificateProfile;
use trust::digest::Digest;
use trust::keys::SigningKey;
use trust::xades::{DataRef, HASH_CHAIN_RESULT, MESSAGE, Mould, Moulds, Signature};

use crate::nation::{Nation, Organisation, at, minutes};
use crate::samples;

/// An organisation with one OCSP answer, as nodes hold it for a while.
struct Signing {
    organisation: Organisation,
    ocsp: Vec<u8>,
}

impl Signing {
    fn of(nation: &Nation, organisation: Organisation) -> Self {
        let ocsp = nation.good(&organisation.certificate);
        Self { organisation, ocsp }
    }

    fn bank(nation: &Nation) -> Self {
        Self::of(nation, nation.organisation("BB/COM/2001", &[0x21]))
    }

    /// A signature over other contents at another moment for each number.
    fn signed(&self, number: u8, names: &[&str]) -> Vec<u8> {
        let moment = at().plus(minutes(u64::from(number)));
        let file = |(place, name)| DataRef { name, digest: Digest::sha512(&[number, place]) };
        let files: Vec<DataRef<'_>> = (0_u8..).zip(names.iter().copied()).map(file).collect();
        self.organisation.signer.sign(&files, moment, &[&self.ocsp]).unwrap()
    }
}

fn shown(signature: &Signature) -> String {
    format!("{signature:?}")
}

#[test]
fn signatures_of_one_signer_fit_one_mould_and_are_read_by_it_as_by_parsing() {
    let nation = Nation::new();
    let keys = [
        SigningKey::generate_p256().unwrap(),
        SigningKey::generate_p384().unwrap(),
        SigningKey::generate_rsa2048().unwrap(),
    ];
    for key in keys {
        let signer = nation.organisation_with(key, "BB/COM/2001", &[0x21], CertificateProfile::Sign);
        let signer = Signing::of(&nation, signer);
        for names in [&[MESSAGE][..], &[MESSAGE, "/attachment1"], &[HASH_CHAIN_RESULT]] {
            let moulds = Moulds::new(8);
            let first = signer.signed(1, names);
            assert!(moulds.fitting(&first).is_none());
            let mould = moulds.learn(&first).unwrap();
            for number in 1..5 {
                let signature = signer.signed(number, names);
                assert!(mould.fits(&signature), "{names:?}");
                let (read, parsed) = (moulds.read(&signature).unwrap(), Signature::parse(&signature).unwrap());
                assert_eq!(shown(&read), shown(&parsed));
                assert_eq!(read.signing_time(), Some(at().plus(minutes(u64::from(number)))));
                read.check_value(signer.organisation.key.public()).unwrap();
                assert_eq!(Mould::refill(&mould.common(), &mould.values_of(&signature)), Some(signature));
            }
        }
    }
}

#[test]
fn another_signer_shape_or_ocsp_answer_is_another_mould() {
    let nation = Nation::new();
    let (bank, office) = (Signing::bank(&nation), Signing::of(&nation, nation.organisation("BB/GOV/1002", &[0x22])));
    let moulds = Moulds::new(8);
    let mould = moulds.learn(&bank.signed(1, &[MESSAGE])).unwrap();
    assert!(!mould.fits(&office.signed(1, &[MESSAGE])));
    assert!(!mould.fits(&bank.signed(1, &[MESSAGE, "/attachment1"])));
    let later = nation.ocsp(&bank.organisation.certificate, trust::ocsp::OcspStatus::Good, at().plus(minutes(10)));
    let file = DataRef { name: MESSAGE, digest: Digest::sha512(b"x") };
    let renewed = bank.organisation.signer.sign(&[file], at(), &[&later]).unwrap();
    assert!(!mould.fits(&renewed));
    assert_ne!(moulds.learn(&renewed).unwrap().id(), mould.id());
}

#[test]
fn no_altered_byte_is_read_otherwise_by_the_mould_than_by_parsing() {
    let nation = Nation::new();
    let bank = Signing::bank(&nation);
    let moulds = Moulds::new(8);
    moulds.learn(&bank.signed(1, &[MESSAGE, "/attachment1"])).unwrap();
    let signature = bank.signed(2, &[MESSAGE, "/attachment1"]);
    let strange = [b'<', b'&', b' ', b'\n', b'>', b'A', b'=', 0, 0xC3];
    let mut by_mould = 0;
    for place in 0..signature.len() {
        let mut altered = signature.clone();
        altered[place] = strange[place % strange.len()];
        by_mould += usize::from(moulds.fitting(&altered).is_some());
        match (moulds.read(&altered), Signature::parse(&altered)) {
            (Ok(read), Ok(parsed)) => assert_eq!(shown(&read), shown(&parsed), "{place}"),
            (Err(read), Err(parsed)) => assert_eq!(read, parsed, "{place}"),
            (read, parsed) => panic!("{place}: {read:?} by the mould, {parsed:?} by parsing"),
        }
    }
    assert!(by_mould > 20, "some alterations must still fit, or nothing was compared: {by_mould}");
}

#[test]
fn a_signature_whose_values_cannot_be_told_apart_has_no_mould() {
    let nation = Nation::new();
    let bank = Signing::bank(&nation);
    let twice = ["/attachment1", MESSAGE].map(|name| DataRef { name, digest: Digest::sha512(b"the same") });
    let signature = bank.organisation.signer.sign(&twice, at(), &[&bank.ocsp]).unwrap();
    Signature::parse(&signature).unwrap();
    assert!(Mould::of(&signature).is_none(), "a value stands twice");
    let signature = String::from_utf8(bank.signed(1, &[MESSAGE])).unwrap();
    let folded = signature.replacen(
        "<ds:SignatureValue Id=\"signature-value\">",
        "<ds:SignatureValue Id=\"signature-value\">\n",
        1,
    );
    Signature::parse(folded.as_bytes()).unwrap();
    assert!(Mould::of(folded.as_bytes()).is_none(), "a value is folded");
    let commented = signature.replacen("</ds:SignatureValue>", "<!-- c --></ds:SignatureValue>", 1);
    assert!(Mould::of(commented.as_bytes()).is_none(), "a value has company");
    for broken in [&b""[..], b"<", b"<a/>", &signature.as_bytes()[1..]] {
        assert!(Mould::of(broken).is_none());
    }
}

#[test]
fn a_common_part_and_values_that_do_not_belong_together_give_nothing_or_another_signature() {
    let nation = Nation::new();
    let bank = Signing::bank(&nation);
    let signature = bank.signed(1, &[MESSAGE]);
    let mould = Mould::of(&signature).unwrap();
    let (common, values) = (mould.common(), mould.values_of(&signature));
    assert!(common.len() + 40 > signature.len() - values.len() && values.len() < 400, "{}", values.len());
    for end in 0..values.len() {
        assert_eq!(Mould::refill(&common, &values[..end]), None);
    }
    assert_eq!(Mould::refill(&common, &[values.as_slice(), b"x"].concat()), None);
    for end in 0..common.len() {
        assert_ne!(Mould::refill(&common[..end], &values), Some(signature.clone()));
    }
    for place in 0..64 {
        let mut altered = common.clone();
        altered[place] ^= 0x81;
        assert_ne!(Mould::refill(&altered, &values), Some(signature.clone()), "{place}");
    }
}

#[test]
fn only_so_many_moulds_are_remembered() {
    let nation = Nation::new();
    let moulds = Moulds::new(2);
    let serials: [&[u8]; 4] = [&[0x30], &[0x31], &[0x32], &[0x33]];
    let signatures =
        serials.map(|serial| Signing::of(&nation, nation.organisation("BB/COM/2001", serial)).signed(1, &[MESSAGE]));
    for signature in &signatures {
        moulds.learn(signature).unwrap();
        assert!(moulds.fitting(signature).is_some());
    }
    let known = signatures.iter().filter(|signature| moulds.fitting(signature).is_some()).count();
    assert_eq!(known, 2);
}

#[test]
fn the_signatures_of_x_road_are_read_alike_with_and_without_a_mould() {
    let Some(root) = samples::folder("containers with signatures") else { return };
    let mut read = 0;
    for entry in std::fs::read_dir(root.join("asic")).unwrap() {
        let Ok(container) = trust::asic::Container::read(&std::fs::read(entry.unwrap().path()).unwrap_or_default())
        else {
            continue;
        };
        let moulds = Moulds::new(2);
        moulds.learn(&container.signature);
        match (moulds.read(&container.signature), Signature::parse(&container.signature)) {
            (Ok(one), Ok(other)) => assert_eq!(shown(&one), shown(&other)),
            (one, other) => assert_eq!(one.err(), other.err()),
        }
        read += 1;
    }
    assert!(read > 3, "the samples hold containers");
}
