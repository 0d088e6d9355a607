//! Writes the seeds anew, with fresh keys: `cargo run --bin seeds` in this folder. Needed where a format changes or a reader is added; what
//! a fuzzer once found stays (files whose name begins with `found-`).
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;

use baobab_fuzz::readers::at;
use bridge::spool::Body;
use bridge::transport::{self, Attachment, Envelope, Kind, Message};
use bytes::Bytes;
use civic::testing::SeededRandom;
use trust::archive::ArchiveBuilder;
use trust::asic::{Container, LoggedRecord};
use trust::cert::{CertificateRequest, MemberNameProfile};
use trust::digest::{Digest, DigestAlgorithm, sha512};
use trust::globalconf::{
    Anchor, AnchorSource, ConfigurationVersion, Directory, DirectoryPart, GlobalGroup, Member, SHARED_PARAMETERS,
    SecurityServer, SharedParams, Subsystem, write_anchor, write_shared,
};
use trust::hashchain::{self, Files};
use trust::jose::{Jwks, jws_sign};
use trust::keys::SigningKey;
use trust::merkle::{leaf_hash, node_hash};
use trust::mserv::{Command, ManagementRequest};
use trust::note::{Checkpoint, Cosigner, NoteSigner, Opening, TlogProof};
use trust::ocsp::{CertId, OcspRequest};
use trust::tsp::{TimestampRequest, TimestampToken};
use trust::xades::HASH_CHAIN_RESULT;

#[path = "../../../crates/trust/tests/it/nation.rs"]
#[allow(dead_code)]
mod nation;

use nation::{Nation, Organisation, minutes};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const REST_REQUEST: &[u8] = b"GET\r\n/r1/BB/GOV/1002/fisc/income/2025?x=%20y\r\nX-Road-Client:BB/COM/2001/credit\r\nAccept:application/json\r\n\
    X-Road-Security-Server:BB/GOV/1002/node-1\r\nX-Road-Represented-Party:COM/7\r\nx-road-request-id:r-1\r\nx-road-id:BB-1\r\n";
const REST_RESPONSE: &[u8] =
    b"200\r\nOK\r\ncontent-type:application/json\r\nx-road-id:BB-1\r\nx-road-client:BB/COM/2001/credit\r\n\
    x-road-service:BB/GOV/1002/fisc/income\r\nx-road-request-id:r-1\r\nx-road-request-hash:AAAA\r\n";
const SOAP: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
    xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\" xmlns:i=\"http://x-road.eu/xsd/identifiers\"><e:Header>\n\
    <x:client i:objectType=\"SUBSYSTEM\"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>COM</i:memberClass>\
    <i:memberCode>2001</i:memberCode><i:subsystemCode>credit</i:subsystemCode></x:client>\n\
    <x:service i:objectType=\"SERVICE\"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>GOV</i:memberClass>\
    <i:memberCode>1002</i:memberCode><i:subsystemCode>fisc</i:subsystemCode><i:serviceCode>getState</i:serviceCode>\
    <i:serviceVersion>v1</i:serviceVersion></x:service>\n<x:id>m-1</x:id>\n<x:protocolVersion>4.0</x:protocolVersion></e:Header>\
    <e:Body><p:getState xmlns:p=\"urn:p\"><p:year>2025</p:year></p:getState></e:Body></e:Envelope>";
const FAULT: &str = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><e:Fault><faultcode>Server.ServerProxy.AccessDenied\
    </faultcode><faultstring>no right</faultstring><detail><faultDetail xmlns=\"\">7</faultDetail></detail></e:Fault></e:Body></e:Envelope>";

fn main() -> Outcome {
    let seeds = Seeds(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds"));
    let nation = Nation::new();
    let tax = nation.organisation("BB/GOV/1002", &[0x31]);
    let log = NoteSigner::new("log.test/state", SigningKey::generate_ed25519()?)?;
    seeds.write("known", "ca.der", nation.ca.der())?;
    seeds.write("known", "signer.der", tax.certificate.der())?;
    seeds.write("known", "log.vkey", log.verifier().to_string())?;
    messages(&seeds)?;
    signatures(&seeds, &nation, &tax, &log)?;
    configurations(&seeds, &tax)?;
    authorities(&seeds, &nation, &tax)?;
    ledger(&seeds, &log)?;
    tokens(&seeds)
}

/// The folder of all seeds.
struct Seeds(std::path::PathBuf);

impl Seeds {
    fn write(&self, target: &str, name: &str, bytes: impl AsRef<[u8]>) -> Outcome {
        std::fs::create_dir_all(self.0.join(target))?;
        Ok(std::fs::write(self.0.join(target).join(name), bytes)?)
    }
}

fn messages(seeds: &Seeds) -> Outcome {
    seeds.write("rest_headers", "request", REST_REQUEST)?;
    seeds.write("rest_headers", "response", REST_RESPONSE)?;
    for (name, text) in [
        ("service", "/*/address\nBB/GOV/1002/fisc/income"),
        ("path", "/2025/**\n/2025/a%20b/c"),
        ("refused-steps", "/**\n/a/%2e%2e/b;c//d%2Fe"),
        ("server", "/a\nBB/GOV/1002/node-1"),
    ] {
        seeds.write("identifiers", name, text)?;
    }
    seeds.write("soap", "request", format!("text/xml; charset=utf-8\n{SOAP}"))?;
    seeds.write("soap", "fault", format!("text/xml\n{FAULT}"))?;
    let related = format!(
        "multipart/related; type=\"text/xml\"; start=\"<root>\"; boundary=b\n--b\r\nContent-Type: text/xml; charset=utf-8\r\nContent-ID: <root>\r\n\r\n\
         {SOAP}\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b\r\nContent-Type: image/png\r\n\r\n\0\r\n--b--\r\n"
    );
    seeds.write("soap", "attachments", related)?;
    let request = ManagementRequest {
        id: "m-1".to_owned(),
        sender: "BB/GOV/1002".parse()?,
        provider: "BB/GOV/1000/management".parse()?,
        user: Some("BB1 <2> & 3".to_owned()),
        issue: None,
        command: Command::ClientReg {
            server: "BB/GOV/1002/node-1".parse()?,
            client: "BB/GOV/1002/fisc".parse()?,
            subsystem_name: Some("Impôts".to_owned()),
        },
    };
    seeds.write("soap", "management", [b"text/xml\n".as_slice(), &request.to_soap()].concat())?;
    for (name, first, message) in [("rest", 0_u8, false), ("soap", 40, true)] {
        let mut bytes = vec![first];
        bytes.extend(transport::write(Kind::Request, "xtopB", &envelope(message)));
        seeds.write("transport", name, bytes)?;
    }
    Ok(())
}

fn envelope(soap: bool) -> Envelope {
    let attachment =
        |headers| Attachment { headers, body: Body::from(Bytes::from_static(b"\r\n--xatt\r\n--xtop--\r\n")) };
    let of = |kind: &str| vec![("content-type".to_owned(), kind.to_owned())];
    let (message, attachments) = if soap {
        let message =
            Message::Soap { content_type: "text/xml".to_owned(), headers: Vec::new(), bytes: Bytes::from(SOAP) };
        (message, vec![attachment(of("text/plain")), attachment(of("image/png"))])
    } else {
        (
            Message::Rest(Bytes::from_static(REST_REQUEST)),
            vec![Attachment::rest(Body::from(Bytes::from_static(b"a body")))],
        )
    };
    let ocsp = vec![Bytes::from_static(b"\x30\x03\x0a\x01\x00")];
    Envelope { ocsp, message, attachments, batch: None, signature: Bytes::from_static(b"<s/>") }
}

fn signatures(seeds: &Seeds, nation: &Nation, tax: &Organisation, log: &NoteSigner) -> Outcome {
    let digests = [vec![sha512(REST_RESPONSE).to_vec()], vec![sha512(b"another").to_vec()]];
    let batch = hashchain::build(DigestAlgorithm::Sha512, Files::SIGNATURE, &digests)?;
    let direct = tax.sign(nation, &[("/message.xml", REST_RESPONSE)]);
    seeds.write("xades", "direct", &direct)?;
    seeds.write("xades", "batch", tax.sign(nation, &[(HASH_CHAIN_RESULT, batch.result.as_bytes())]))?;
    seeds.write("xades", "chain-result", &batch.result)?;
    seeds.write("xades", "chain", batch.chains.first().ok_or("no chain")?)?;
    let signed = Digest::of(DigestAlgorithm::Sha512, &direct);
    let record = LoggedRecord { at: at(), content: [7; 32], signature: Some(signed), chain: None };
    let opening = Opening { salt: [9; 32], record: record.to_text() };
    let sibling = leaf_hash(b"another entry");
    let checkpoint =
        Checkpoint::new("log.test/state", 2, node_hash(&sibling, &leaf_hash(&opening.leaf())))?.sign(log)?;
    let proof = TlogProof { extra: None, index: 1, hashes: vec![sibling], checkpoint }.to_text();
    let container = Container {
        message: REST_RESPONSE.to_vec(),
        attachments: BTreeMap::new(),
        signature: direct.clone(),
        signature_chain: None,
        time_stamp: None,
        ledger_proof: Some(opening.put_into(&proof)?),
    };
    let written = container.write(at())?;
    seeds.write("asic", "container", &written)?;
    let mut archive = ArchiveBuilder::new(DigestAlgorithm::Sha512, None);
    archive.add("a.asice", at(), &written)?;
    seeds.write("asic", "archive", archive.finish(at(), "roles=cp")?)
}

fn configurations(seeds: &Seeds, tax: &Organisation) -> Outcome {
    let shared = SharedParams {
        members: vec![Member {
            id: "BB/GOV/1002".parse()?,
            name: "Impôts".to_owned(),
            subsystems: vec![Subsystem { code: "fisc".to_owned(), name: Some("Taxes".to_owned()) }],
        }],
        servers: vec![SecurityServer {
            id: "BB/GOV/1002/node-1".parse()?,
            address: Some("tax.example:5500".to_owned()),
            auth_cert_hashes: vec![tax.certificate.sha256().to_vec()],
            clients: vec!["BB/GOV/1002/fisc".parse()?],
            maintenance: None,
        }],
        groups: vec![GlobalGroup {
            code: "all".to_owned(),
            description: "All".to_owned(),
            members: vec!["BB/GOV/1002/fisc".parse()?],
        }],
        ..SharedParams::empty("BB")
    };
    for (name, version) in [("v2", ConfigurationVersion::V2), ("v6", ConfigurationVersion::V6)] {
        seeds.write("shared_params", name, write_shared(&shared, version))?;
    }
    let certificates = vec![tax.certificate.der().to_vec()];
    let source = AnchorSource { download_url: "http://127.0.0.1:8604/conf".to_owned(), certs: certificates };
    let anchor = Anchor { instance: "BB".to_owned(), generated_at: Some(at()), sources: vec![source] };
    seeds.write("shared_params", "anchor", write_anchor(&anchor))?;
    let text = write_shared(&shared, ConfigurationVersion::V6);
    let part = DirectoryPart::of(SHARED_PARAMETERS, "BB", "/V6/shared-params.xml", text.as_bytes());
    let directory = Directory { expires: at().plus(minutes(10)), version: Some(6), parts: vec![part] };
    let signed = directory.sign(&tax.key, tax.certificate.der(), &SeededRandom::new(2))?;
    seeds.write("directory", "signed", signed)
}

fn authorities(seeds: &Seeds, nation: &Nation, tax: &Organisation) -> Outcome {
    let token = nation.stamp(b"data");
    let read = TimestampToken::from_der(&token)?;
    let [tsa, ..] = nation.trust.own().ok_or("no instance")?.tsas() else { return Err("no TSA".into()) };
    seeds.write("known", "tsa.der", tsa.cert.der())?;
    let ids = vec![CertId::of(&tax.certificate, &nation.ca)];
    seeds.write("ocsp_tsp", "ocsp-request", OcspRequest { ids, nonce: Some(vec![7; 16]) }.to_der()?)?;
    seeds.write("ocsp_tsp", "ocsp-response", nation.good(&tax.certificate))?;
    seeds.write("ocsp_tsp", "stamp-request", TimestampRequest::for_data(b"data", &[9; 8])?.to_der()?)?;
    seeds.write("ocsp_tsp", "stamp", &token)?;
    seeds.write("ocsp_tsp", "stamp-response", read.response()?)?;
    seeds.write("ocsp_tsp", "certificate", tax.certificate.der())?;
    let subject = MemberNameProfile::subject("BB", &"BB/GOV/1002".parse()?, "Impôts", "node-1")?;
    seeds.write("ocsp_tsp", "certificate-request", CertificateRequest::create(&tax.key, &subject)?.der())
}

fn ledger(seeds: &Seeds, log: &NoteSigner) -> Outcome {
    let root = leaf_hash(b"entry");
    let checkpoint = Checkpoint::new("log.test/state", 1, root)?;
    let note = checkpoint.sign(log)?;
    let verifier = log.verifier();
    seeds.write("notes", "checkpoint", checkpoint.text())?;
    seeds.write("notes", "note", &note)?;
    let proof = TlogProof { index: 0, hashes: Vec::new(), checkpoint: note, extra: Some(b"more".to_vec()) };
    seeds.write("notes", "proof", proof.to_text())?;
    let witness = Cosigner::ed25519("witness.test/w", SigningKey::generate_ed25519()?)?.verifier();
    let policy = format!("log {verifier} http://log.test\nwitness w {witness} http://witness.test\nquorum w\n");
    seeds.write("notes", "policy", policy)?;
    seeds.write("notes", "key", verifier.to_string())
}

fn tokens(seeds: &Seeds) -> Outcome {
    let keys = [SigningKey::generate_p256()?, SigningKey::generate_ed25519()?];
    let set = serde_json::to_vec(&Jwks::of(keys.iter().map(SigningKey::public))?)?;
    seeds.write("known", "jwks.json", &set)?;
    seeds.write("jose", "keys", &set)?;
    for (name, key) in ["es256", "eddsa"].into_iter().zip(&keys) {
        seeds.write("jose", name, jws_sign(key, "at+jwt", &serde_json::json!({ "sub": "x", "exp": 1 }))?)?;
    }
    Ok(())
}
