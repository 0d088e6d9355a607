//! Signatures a second: a key in a file beside the same kind of key in a SoftHSM token, by one thread and by eight.
//! `cargo run -p trust --features testing --example token_speed`. Nothing is asserted.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use civic::Random;
use trust::keys::{KeyError, KeyKind, SigningKey};
use trust::pkcs11::testing::SoftHsm;

const TIME: Duration = Duration::from_secs(2);

struct Entropy;

impl Random for Entropy {
    fn fill(&self, bytes: &mut [u8]) {
        assert!(SystemRandom::new().fill(bytes).is_ok(), "the machine gives no entropy");
    }
}

fn main() -> ExitCode {
    let Some(hsm) = SoftHsm::of_this_process() else { return start_again() };
    match measure(&hsm) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// SoftHSM reads its folder from the environment of the process.
fn start_again() -> ExitCode {
    let done = tempfile::tempdir().and_then(|folder| SoftHsm::make(folder.path()).this_program_again().status());
    if done.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(hsm: &SoftHsm) -> Result<(), KeyError> {
    let token = hsm.logged_in();
    say("| key | file, 1 thread | file, 8 threads | token, 1 thread | token, 8 threads |\n|---|---|---|---|---|");
    for (kind, in_file) in [
        (KeyKind::P256, SigningKey::generate_p256()?),
        (KeyKind::P384, SigningKey::generate_p384()?),
        (KeyKind::Rsa { bits: 2_048 }, SigningKey::generate_rsa(2_048)?),
        (KeyKind::Rsa { bits: 4_096 }, SigningKey::generate_rsa(4_096)?),
    ] {
        let in_token = token.key(&token.generate(kind, &kind.to_string(), &Entropy)?);
        let figures = [(&in_file, 1), (&in_file, 8), (&in_token, 1), (&in_token, 8)];
        let figures: Vec<String> =
            figures.iter().map(|(key, threads)| format!("{}/s", per_second(key, *threads))).collect();
        say(&format!("| {kind} | {} |", figures.join(" | ")));
    }
    Ok(())
}

fn per_second(key: &SigningKey, threads: usize) -> u64 {
    let (made, start) = (AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < TIME && key.sign(key.default_xml_algorithm(), b"message").is_ok() {
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    made.load(Ordering::Relaxed) * 1_000 / u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
}

#[expect(clippy::print_stdout, reason = "a bench speaks to the terminal")]
fn say(text: &str) {
    println!("{text}");
}
