//! `[token]` of `node.toml`: the PKCS#11 token that holds keys of the node.

use std::path::PathBuf;

use anyhow::Context as _;
use bridge::{TokenKeys, off_the_runtime};
use serde::{Deserialize, Serialize};
use trust::keys::KeyKind;
use trust::pkcs11::{Module, SESSIONS_MAX, SESSIONS_USUAL, Token, TokenError, TokenName};

use super::{Loaded, NodeSettings, settings};
use crate::command::credential;
use crate::files::others_may_read;

settings! {
    /// A PKCS#11 token that holds keys of the node. Certificates stay in the keys folder.
    TokenSettings {
        /// Required. The PKCS#11 module: the shared library of the token's maker. Its code runs in the node.
        module: PathBuf = PathBuf::new();
        /// The label of the token. This or `serial` is required.
        label: String = String::new();
        /// The serial number of the token.
        serial: String = String::new();
        /// A file with the PIN, which only its owner may read (mode 0600). Where systemd gives a credential of the same name
        /// (`LoadCredential=`), that one is used. Without it, log in over the management API after each start.
        pin_file: Option<PathBuf> = None;
        /// The label of the signing key in the token; `baobab node init` makes it where it is missing. Empty: the key lies in the keys folder.
        sign: String = String::new();
        /// The label of the authentication (TLS) key in the token, made likewise. Empty: the key lies in the keys folder.
        auth: String = String::new();
        /// What keys are made as: `p256`, `p384`, `rsa2048`, `rsa3072` or `rsa4096` (peers before X-Road 7.6 need RSA).
        kind: KeyKindName = KeyKindName::P256;
        /// So many signatures at most are made at once.
        sessions: usize = SESSIONS_USUAL;
    }
}

/// What keys are made as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyKindName {
    /// Elliptic, 256 bits.
    #[default]
    P256,
    /// Elliptic, 384 bits.
    P384,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

impl Loaded<NodeSettings> {
    /// The token of the node, with the PIN where a file has it. The token may be absent; its module may not.
    pub(crate) fn token(&self) -> anyhow::Result<Option<TokenKeys>> {
        let Some(settings) = &self.settings.token else { return Ok(None) };
        let name = self.token_name(settings)?;
        let module =
            Module::load(&self.path_of(&settings.module)).map_err(|error| self.refused("token.module", &error))?;
        let token = Token::new(module, name, settings.sessions).stepping_aside(off_the_runtime);
        if let Some(pin) = self.pin()? {
            token.remember_pin(&pin).map_err(|error| self.refused("token.pin_file", &error))?;
        }
        let label = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let kind = match settings.kind {
            KeyKindName::P256 => KeyKind::P256,
            KeyKindName::P384 => KeyKind::P384,
            KeyKindName::Rsa2048 => KeyKind::Rsa { bits: 2_048 },
            KeyKindName::Rsa3072 => KeyKind::Rsa { bits: 3_072 },
            KeyKindName::Rsa4096 => KeyKind::Rsa { bits: 4_096 },
        };
        Ok(Some(TokenKeys { token, sign: label(&settings.sign), auth: label(&settings.auth), kind }))
    }

    /// Checks what can be checked without the token.
    pub(crate) fn check_token(&self) -> anyhow::Result<()> {
        self.settings.token.as_ref().map_or(Ok(()), |settings| self.token_name(settings).map(drop))
    }

    /// Logs in again where that is needed and a file has the PIN: the operator corrected it, or the token is another one.
    pub(crate) fn log_in_again(&self, token: &Token) -> anyhow::Result<()> {
        if let Err(TokenError::LoggedOut | TokenError::PinRefused) = token.check()
            && let Some(pin) = self.pin()?
        {
            token.login(&pin)?;
        }
        Ok(())
    }

    fn token_name(&self, settings: &TokenSettings) -> anyhow::Result<TokenName> {
        if settings.module.as_os_str().is_empty() {
            return Err(self.refused("token.module", &"it is required").into());
        }
        if settings.sessions == 0 || settings.sessions > SESSIONS_MAX {
            return Err(self.refused("token.sessions", &format!("it must be between 1 and {SESSIONS_MAX}")).into());
        }
        if !settings.auth.is_empty() && settings.auth == settings.sign {
            return Err(self.refused("token.auth", &"both keys need a label of their own").into());
        }
        match (settings.label.as_str(), settings.serial.as_str()) {
            (label, "") if !label.is_empty() => Ok(TokenName::Label(label.to_owned())),
            ("", serial) if !serial.is_empty() => Ok(TokenName::Serial(serial.to_owned())),
            _ => Err(self.refused("token.label", &"name the token by `label` or by `serial`, one of them").into()),
        }
    }

    /// The PIN, from the credential or the file.
    fn pin(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = self.settings.token.as_ref().and_then(|settings| settings.pin_file.as_ref()) else {
            return Ok(None);
        };
        let ours = self.path_of(file);
        let path = credential(&ours).unwrap_or_else(|| ours.clone());
        let refused = |reason: String| self.refused("token.pin_file", &reason);
        let unreadable = |error: std::io::Error| refused(format!("{} cannot be read ({error})", path.display()));
        if path == ours && others_may_read(&path).map_err(unreadable)? {
            let path = path.display();
            return Err(refused(format!("others may read {path}: type `chmod 600 {path}`, and change the PIN")).into());
        }
        let pin = std::fs::read_to_string(&path).map_err(unreadable).context("the PIN of the token")?;
        Ok(Some(pin.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_that_is_not_well_named_is_refused_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("anchor.xml"), "<anchor/>").unwrap();
        let path = folder.path().join("node.toml");
        for (table, key) in [
            ("label = \"a\"", "token.module"),
            ("module = \"m.so\"", "token.label"),
            ("module = \"m.so\"\nlabel = \"a\"\nserial = \"1\"", "token.label"),
            ("module = \"m.so\"\nlabel = \"a\"\nsessions = 0", "token.sessions"),
            ("module = \"m.so\"\nlabel = \"a\"\nsign = \"k\"\nauth = \"k\"", "token.auth"),
            ("module = \"m.so\"\nlabel = \"a\"\nkind = \"p256\"", ""),
        ] {
            std::fs::write(&path, format!("server = \"BB/GOV/1002/n\"\n[token]\n{table}")).unwrap();
            let outcome = Loaded::<NodeSettings>::read(&path).unwrap().config();
            match outcome {
                Ok(_) => assert_eq!(key, ""),
                Err(error) => assert!(!key.is_empty() && error.to_string().contains(&format!("`{key}`")), "{error}"),
            }
        }
    }

    #[test]
    fn a_pin_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        let text = "server = \"BB/GOV/1002/n\"\n[token]\nmodule = \"m.so\"\nlabel = \"a\"\npin_file = \"token.pin\"";
        std::fs::write(&path, text).unwrap();
        let loaded = Loaded::<NodeSettings>::read(&path).unwrap();
        let pin = folder.path().join("token.pin");
        assert!(loaded.pin().unwrap_err().to_string().contains("`token.pin_file`"));
        std::fs::write(&pin, "1234\n").unwrap();
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(loaded.pin().unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(loaded.pin().unwrap().as_deref(), Some("1234"));
    }
}
