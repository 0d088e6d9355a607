//! SoftHSM for tests: a token in software, in a folder of its own.
//!
//! SoftHSM reads where its tokens lie from the environment, and a module has one state a process; tests share both. So each test of a
//! token runs in a process of its own: [`alone`] starts the same test program again, with the environment that this test needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Module, SESSIONS_USUAL, Token, TokenName};

/// The label of the token.
pub const LABEL: &str = "baobab";
/// Its PIN.
pub const PIN: &str = "sesame-7351";
const CONF: &str = "SOFTHSM2_CONF";
const OURS: &str = "BAOBAB_TEST_SOFTHSM";
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// A SoftHSM with one token.
pub struct SoftHsm {
    folder: PathBuf,
    module: PathBuf,
}

/// Runs the body in a process of its own with a fresh token. `test` is the full name of the calling test, as the test program lists
/// it.
///
/// # Panics
/// Where SoftHSM is missing, or the body fails.
pub fn alone(test: &str, body: impl FnOnce(&SoftHsm)) {
    if let Some(hsm) = SoftHsm::of_this_process() {
        return body(&hsm);
    }
    let folder = need(tempfile::tempdir());
    let mut again = SoftHsm::make(folder.path()).this_program_again();
    let run = need(again.args([test, "--exact", "--nocapture", "--test-threads=1"]).output());
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && out.contains("1 passed"), "{test} failed ({}):\n{out}\n{err}", run.status);
}

impl SoftHsm {
    /// A folder with a configuration and a token, for another program: see [`Self::conf`].
    pub fn make(folder: &Path) -> Self {
        let hsm = Self { folder: folder.to_owned(), module: module() };
        need(std::fs::create_dir(hsm.tokens()));
        let conf = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            hsm.tokens().display()
        );
        need(std::fs::write(hsm.conf(), conf));
        hsm.init_token(LABEL);
        hsm
    }

    /// The one that this process was started for; see [`Self::this_program_again`].
    pub fn of_this_process() -> Option<Self> {
        std::env::var_os(OURS).map(|folder| Self { folder: folder.into(), module: module() })
    }

    /// The program that runs now, to be started again with this SoftHSM in its environment.
    pub fn this_program_again(&self) -> Command {
        let mut command = Command::new(need(std::env::current_exe()));
        command.env(CONF, self.conf()).env(OURS, &self.folder);
        command
    }

    /// One more token, with the same PIN.
    pub fn init_token(&self, label: &str) {
        let mut command = Command::new("softhsm2-util");
        command.args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678"]);
        let run = need(command.env(CONF, self.conf()).output());
        assert!(run.status.success(), "softhsm2-util: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// The configuration file, for the environment variable `SOFTHSM2_CONF` of programs that are to see the token.
    pub fn conf(&self) -> PathBuf {
        self.folder.join("softhsm2.conf")
    }

    /// The shared library.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The folder of all tokens.
    pub fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    /// The token, not logged in.
    pub fn token(&self) -> Token {
        Token::new(need(Module::load(&self.module)), TokenName::Label(LABEL.to_owned()), SESSIONS_USUAL)
    }

    /// The token, logged in.
    pub fn logged_in(&self) -> Token {
        let token = self.token();
        need(token.login(PIN));
        token
    }

    /// Pulls the tokens out: their files go away. Programs that have them open notice at the next look.
    pub fn pull_out(&self) {
        need(std::fs::rename(self.tokens(), self.folder.join("elsewhere")));
        need(std::fs::create_dir(self.tokens()));
    }

    /// Plugs them in again.
    pub fn plug_in(&self) {
        need(std::fs::remove_dir_all(self.tokens()));
        need(std::fs::rename(self.folder.join("elsewhere"), self.tokens()));
    }
}

fn module() -> PathBuf {
    let found = MODULES.iter().map(Path::new).find(|path| path.is_file());
    need(found.map(Path::to_owned).ok_or("SoftHSM is missing: install softhsm2 (`cargo xtask test` does)"))
}

fn need<T, E: std::fmt::Display>(value: Result<T, E>) -> T {
    match value {
        Ok(value) => value,
        Err(error) => stop(&error.to_string()),
    }
}

#[expect(clippy::panic, reason = "a test without its token has nothing to say")]
fn stop(reason: &str) -> ! {
    panic!("the token of this test: {reason}")
}
