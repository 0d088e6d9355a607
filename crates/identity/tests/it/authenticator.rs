//! A passkey in software: one discoverable P-256 credential with user verification (WebAuthn L3 §6, attestation `none`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use trust::digest::sha256;
use trust::keys::{SignatureAlgorithm, SigningKey};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const ATTESTED: u8 = 0x40;

pub(crate) struct Authenticator {
    key: SigningKey,
    credential: Vec<u8>,
    handle: Vec<u8>,
    origin: String,
    counter: u32,
    pub(crate) verifies: bool,
}

impl Authenticator {
    /// `navigator.credentials.create`: the new key and what the page posts.
    pub(crate) fn create(options: &Value, origin: &str) -> (Self, Value) {
        let options = &options["publicKey"];
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        let key = SigningKey::generate_p256().unwrap();
        let credential = sha256(key.public().raw()).to_vec();
        let handle = decode(&options["user"]["id"]);
        let mut this = Self { key, credential, handle, origin: origin.to_owned(), counter: 0, verifies: true };
        let client_data = this.client_data("webauthn.create", &options["challenge"]);
        let mut data = this.data("localhost", ATTESTED);
        data.extend([0; 16]);
        data.extend([0, 32]);
        data.extend(&this.credential);
        data.extend(this.cose_key());
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        let answer = json!({
            "id": encode(&this.credential),
            "rawId": encode(&this.credential),
            "type": "public-key",
            "extensions": {},
            "response": {"attestationObject": encode(&object), "clientDataJSON": encode(client_data.as_bytes())},
        });
        (this, answer)
    }

    /// `navigator.credentials.get`.
    pub(crate) fn get(&mut self, options: &Value) -> Value {
        let client_data = self.client_data("webauthn.get", &options["publicKey"]["challenge"]);
        let data = self.data("localhost", 0);
        let signed = [data.as_slice(), &sha256(client_data.as_bytes())].concat();
        let signature = self.key.sign(SignatureAlgorithm::EcdsaSha256Der, &signed).unwrap();
        json!({
            "id": encode(&self.credential),
            "rawId": encode(&self.credential),
            "type": "public-key",
            "extensions": {},
            "response": {
                "authenticatorData": encode(&data),
                "clientDataJSON": encode(client_data.as_bytes()),
                "signature": encode(&signature),
                "userHandle": encode(&self.handle),
            },
        })
    }

    pub(crate) fn move_to(&mut self, origin: &str) {
        origin.clone_into(&mut self.origin);
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> String {
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false}).to_string()
    }

    fn data(&mut self, rp_id: &str, more: u8) -> Vec<u8> {
        self.counter += 1;
        let verified = if self.verifies { USER_VERIFIED } else { 0 };
        let mut data = sha256(rp_id.as_bytes()).to_vec();
        data.push(USER_PRESENT | verified | more);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// The public key as COSE (RFC 9053 §7.1): kty EC2, alg ES256, crv P-256, x, y.
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public().raw();
        let mut cose = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        cose.extend(&point[1..33]);
        cose.extend([0x22, 0x58, 0x20]);
        cose.extend(&point[33..65]);
        cose
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}
