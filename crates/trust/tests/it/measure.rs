//! How long a signature takes. Not a test: nothing is asserted about time. Run it optimised:
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test -p trust --test it -- --ignored --nocapture measure`.

use std::time::Instant;

use trust::digest::sha512;
use trust::xades::{DataRef, MESSAGE, Part, Signature, Verifier};

use crate::nation::{Nation, at, client};

const ROUNDS: u32 = 2_000;

#[expect(clippy::print_stderr, reason = "a measurement is printed")]
fn measure<T>(what: &str, mut run: impl FnMut() -> T) {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(run());
    }
    eprintln!("{what:<60} {:>9.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS));
}

#[test]
#[ignore = "a measurement, not a test"]
fn measure_signing_and_verifying() {
    let nation = Nation::new();
    let bank = nation.organisation("BB/COM/2001", &[0x21]);
    let (message, body) = (vec![b'm'; 600], vec![b'b'; 1_024]);
    let ocsp = nation.good(&bank.certificate);
    let digests = (sha512(&message), sha512(&body));
    let files = [DataRef { name: MESSAGE, sha512: digests.0 }, DataRef { name: "/attachment1", sha512: digests.1 }];
    let parts = [Part::sha512(MESSAGE, &digests.0), Part::sha512("/attachment1", &digests.1)];
    let signer = client("BB/COM/2001/credit");
    let verifier = Verifier::new(&nation.trust);
    let xml = bank.signer.sign(&files, at(), &[&ocsp]).unwrap();
    let parsed = Signature::parse(&xml).unwrap();
    measure("P-256 signature alone", || bank.key.sign(parsed.algorithm(), parsed.signed_info_bytes()));
    measure("XAdES signature of message and body", || bank.signer.sign(&files, at(), &[&ocsp]).unwrap());
    measure("P-256 verification alone", || parsed.check_value(bank.key.public()));
    measure("reading a signature", || Signature::parse(&xml).unwrap());
    measure("XAdES verification, known certificate and OCSP answer", || {
        verifier.verify_message(&xml, &parts, None, &signer, at()).unwrap()
    });
    measure("XAdES verification, nothing known", || {
        Verifier::new(&nation.trust).verify_message(&xml, &parts, None, &signer, at()).unwrap()
    });
}
