use std::time::Duration;

use civic::testing::SeededRandom;
use civic::{ClientId, ServerId};
use trust::cert::{Certificate, CertificateProfile};
use trust::keys::SigningKey;
use trust::mserv::{Command, Envelope, ManagementRequest, MservError, fault, read_response, response};
use trust::ocsp::OcspStatus;

use crate::nation::{Nation, Organisation, at, minutes};
use crate::samples;

fn server() -> ServerId {
    "BB/GOV/1002/node-1".parse().unwrap()
}

fn provider() -> ClientId {
    "BB/GOV/1000/management".parse().unwrap()
}

fn request(command: Command) -> ManagementRequest {
    ManagementRequest {
        id: "8770348d-c5f1-4f23-989e-7dd91fb59eff".to_owned(),
        sender: "BB/GOV/1002".parse().unwrap(),
        provider: provider(),
        user: Some("BB1 <2> & 3".to_owned()),
        issue: None,
        command,
    }
}

fn commands() -> Vec<Command> {
    let (server, client): (_, ClientId) = (server(), "BB/GOV/1002/fisc".parse().unwrap());
    let name = "Impôts & <taxes>".to_owned();
    vec![
        Command::AuthCertReg {
            server: server.clone(),
            address: Some("node.example:5500".to_owned()),
            auth_cert: b"certificate".to_vec(),
            dry_run: false,
        },
        Command::AuthCertReg { server: server.clone(), address: None, auth_cert: b"c".to_vec(), dry_run: true },
        Command::AuthCertDeletion { server: server.clone(), auth_cert: b"certificate".to_vec() },
        Command::ClientReg { server: server.clone(), client: client.clone(), subsystem_name: Some(name.clone()) },
        Command::ClientReg { server: server.clone(), client: client.clone(), subsystem_name: None },
        Command::ClientDeletion { server: server.clone(), client: client.clone() },
        Command::OwnerChange { server: server.clone(), client: "BB/COM/2001".parse().unwrap() },
        Command::AddressChange { server: server.clone(), address: "192.0.2.7".to_owned() },
        Command::ClientDisable { server: server.clone(), client: client.clone() },
        Command::ClientEnable { server: server.clone(), client: client.clone() },
        Command::ClientRename { server: server.clone(), client, subsystem_name: name },
        Command::MaintenanceModeEnable { server: server.clone(), message: Some("Retour à 18 h".to_owned()) },
        Command::MaintenanceModeEnable { server: server.clone(), message: None },
        Command::MaintenanceModeDisable { server },
    ]
}

#[test]
fn requests_and_answers_read_back() {
    for command in commands() {
        let request = request(command);
        assert_eq!(ManagementRequest::from_soap(&request.to_soap()).unwrap(), request);
        assert_eq!(read_response(&request, &response(&request, 394)), Ok(394));
        let other = ManagementRequest { id: "another".to_owned(), ..request.clone() };
        assert_eq!(read_response(&request, &response(&other, 394)), Err(MservError::OtherRequest));
        let refused = read_response(&request, &fault("invalid_request", "no <such> member", "17"));
        let expected = MservError::Fault { code: "invalid_request".to_owned(), text: "no <such> member".to_owned() };
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn the_bodies_validate_against_the_schema_of_management_requests() {
    let Some(samples) = samples::folder("schema validation of management requests") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (number, command) in commands().into_iter().enumerate() {
        let soap = String::from_utf8(request(command).to_soap()).unwrap();
        let (_, body) = soap.split_once("<SOAP-ENV:Body>").unwrap();
        let (body, _) = body.split_once("</SOAP-ENV:Body>").unwrap();
        let spaces = " xmlns:id=\"http://x-road.eu/xsd/identifiers\" xmlns:xroad=\"http://x-road.eu/xsd/xroad.xsd\">";
        let file = folder.path().join(format!("{number}.xml"));
        std::fs::write(&file, body.replacen('>', spaces, 1)).unwrap();
        let schema = samples.join("schemas/request.xsd");
        let arguments = ["--nonet", "--noout", "--schema", schema.to_str().unwrap(), file.to_str().unwrap()];
        let Some(output) = samples::tool("xmllint", &arguments) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_message_that_contradicts_itself_is_refused() {
    let soap = String::from_utf8(request(commands().swap_remove(3)).to_soap()).unwrap();
    let read = |text: String| ManagementRequest::from_soap(text.as_bytes());
    let other_sender = soap.replacen("<id:memberCode>1002<", "<id:memberCode>1003<", 1);
    assert!(matches!(read(other_sender), Err(MservError::NotOwner { .. })));
    let other_service = soap.replace("<id:serviceCode>clientReg<", "<id:serviceCode>clientDeletion<");
    assert!(matches!(read(other_service), Err(MservError::Malformed(_))));
    let unknown = soap.replace("clientReg", "clientDance");
    assert_eq!(read(unknown), Err(MservError::UnknownService("clientDance".to_owned())));
    let old = soap.replace(">4.0<", ">3.1<");
    assert!(matches!(read(old), Err(MservError::Malformed(_))));
    let nameless = soap.replace("<id:serverCode>node-1</id:serverCode>", "");
    assert!(matches!(read(nameless), Err(MservError::Missing { element: "serverCode", .. })));
    let long = soap.replace("Impôts", &"x".repeat(300));
    assert_eq!(read(long), Err(MservError::Text { what: "subsystem name" }));
    let control = soap.replace("Impôts", "a\nb");
    assert_eq!(read(control), Err(MservError::Text { what: "subsystem name" }));
    assert!(matches!(read("x".repeat(200_000)), Err(MservError::TooLarge { .. })));
}

/// A node with its keys at the moment of registration.
struct Newcomer {
    nation: Nation,
    owner: Organisation,
    auth_key: SigningKey,
    auth_cert: Certificate,
}

impl Newcomer {
    fn new() -> Self {
        let nation = Nation::new();
        let owner = nation.organisation("BB/GOV/1002", &[21]);
        let auth_key = SigningKey::generate_p256().unwrap();
        let auth = nation.organisation_with(auth_key.clone(), "BB/GOV/1002", &[22], CertificateProfile::Auth);
        Self { auth_cert: auth.certificate, nation, owner, auth_key }
    }

    fn registration(&self) -> (ManagementRequest, Envelope) {
        let command = Command::AuthCertReg {
            server: server(),
            address: Some("node.example".to_owned()),
            auth_cert: self.auth_cert.der().to_vec(),
            dry_run: false,
        };
        let request = request(command);
        let ocsp = self.nation.good(&self.owner.certificate);
        let envelope =
            Envelope::auth_cert_reg(&request, &self.auth_key, &self.owner.key, &self.owner.certificate, &ocsp).unwrap();
        (request, envelope)
    }

    fn verify(&self, request: &ManagementRequest, envelope: &Envelope) -> Result<(), MservError> {
        let trust = self.nation.trust.own().unwrap();
        envelope.verify(request, &provider(), trust, at(), Duration::from_hours(1))
    }
}

#[test]
fn a_registration_proves_key_and_owner_also_after_the_wire() {
    let newcomer = Newcomer::new();
    let (request, envelope) = newcomer.registration();
    let (content_type, body) = envelope.to_http(&SeededRandom::new(3));
    let (read, inside) = Envelope::read(&content_type, &body).unwrap();
    assert_eq!((&read, &inside), (&envelope, &request));
    assert_eq!(newcomer.verify(&inside, &read), Ok(()));
    let quoted = content_type.replace("boundary=", "boundary=\"") + "\"";
    assert!(Envelope::read(&quoted, &body).is_ok(), "X-Road quotes some boundaries");
}

#[test]
fn each_missing_or_foreign_proof_of_a_registration_has_its_refusal() {
    let newcomer = Newcomer::new();
    let (request, good) = newcomer.registration();
    let refusal = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = good.clone();
        change(&mut envelope);
        newcomer.verify(&request, &envelope).unwrap_err()
    };
    let stranger = SigningKey::generate_p256().unwrap();
    let (proof, signer) = (good.proof.clone().unwrap(), good.signer.clone().unwrap());
    let not_possessed = refusal(&|envelope| envelope.proof.as_mut().unwrap().0 = signer.0.clone());
    assert_eq!(not_possessed, MservError::Signature { whose: "authentication key's" });
    let not_signed = refusal(&|envelope| envelope.signer.as_mut().unwrap().0 = proof.0.clone());
    assert_eq!(not_signed, MservError::Signature { whose: "member's" });
    let swapped = refusal(&|envelope| envelope.proof.as_mut().unwrap().1 = signer.1.clone());
    assert_eq!(swapped, MservError::OtherCertificate);
    let for_tls = refusal(&|envelope| envelope.signer.as_mut().unwrap().1 = proof.1.clone());
    assert!(matches!(for_tls, MservError::Trust(_)), "{for_tls}");

    let other = newcomer.nation.organisation("BB/COM/2001", &[23]);
    let foreign = refusal(&|envelope| {
        let ocsp = newcomer.nation.good(&other.certificate);
        *envelope =
            Envelope::auth_cert_reg(&request, &newcomer.auth_key, &other.key, &other.certificate, &ocsp).unwrap();
    });
    assert!(matches!(foreign, MservError::OtherSigner { .. }), "{foreign}");
    let pretender = refusal(&|envelope| {
        let owner = &newcomer.owner;
        let ocsp = newcomer.nation.good(&owner.certificate);
        *envelope = Envelope::auth_cert_reg(&request, &stranger, &owner.key, &owner.certificate, &ocsp).unwrap();
    });
    assert_eq!(pretender, MservError::Signature { whose: "authentication key's" });

    let owner = &newcomer.owner.certificate;
    let revoked = newcomer.nation.ocsp(owner, OcspStatus::Revoked { at: at().minus(minutes(30)) }, at());
    let revoked = refusal(&|envelope| envelope.signer.as_mut().unwrap().2 = revoked.clone());
    assert!(matches!(revoked, MservError::NotGood { .. }), "{revoked}");
    let old = newcomer.nation.ocsp(owner, OcspStatus::Good, at().minus(minutes(61)));
    let old = refusal(&|envelope| envelope.signer.as_mut().unwrap().2 = old.clone());
    assert!(matches!(old, MservError::Ocsp(_)), "{old}");
    let of_other = newcomer.nation.good(&other.certificate);
    let of_other = refusal(&|envelope| envelope.signer.as_mut().unwrap().2 = of_other.clone());
    assert!(matches!(of_other, MservError::Ocsp(_)), "{of_other}");

    let elsewhere = ManagementRequest { provider: "BB/COM/2001/fake".parse().unwrap(), ..request.clone() };
    assert!(matches!(newcomer.verify(&elsewhere, &good), Err(MservError::OtherProvider { .. })));
}

#[test]
fn clients_are_registered_by_their_member_and_deleted_by_the_node_alone() {
    let newcomer = Newcomer::new();
    for command in commands().into_iter().skip(2) {
        let request = request(command);
        let signer = match request.command.signer() {
            Some(member) if member.code() == "2001" => newcomer.nation.organisation("BB/COM/2001", &[24]),
            _ => newcomer.nation.organisation("BB/GOV/1002", &[25]),
        };
        let ocsp = newcomer.nation.good(&signer.certificate);
        let envelope = Envelope::signed(&request, &signer.key, &signer.certificate, &ocsp).unwrap();
        let (content_type, body) = envelope.to_http(&SeededRandom::new(4));
        let (read, inside) = Envelope::read(&content_type, &body).unwrap();
        assert_eq!((&read, &inside), (&envelope, &request));
        assert_eq!(newcomer.verify(&inside, &read), Ok(()), "{}", request.command);
        if request.command.signer().is_some() {
            let bare = Envelope::read("text/xml; charset=UTF-8", &request.to_soap());
            assert!(matches!(bare, Err(MservError::Parts { .. })), "{}", request.command);
        }
    }
}

#[test]
fn no_altered_byte_of_a_registration_registers_something_else() {
    let newcomer = Newcomer::new();
    let (request, envelope) = newcomer.registration();
    let (content_type, body) = envelope.to_http(&SeededRandom::new(5));
    for position in (0..body.len()).step_by(3) {
        let mut altered = body.clone();
        altered[position] ^= 0x04;
        if let Ok((read, inside)) = Envelope::read(&content_type, &altered) {
            assert!(newcomer.verify(&inside, &read).is_err() || inside == request, "byte {position}");
        }
    }
    assert!(Envelope::read("multipart/related", &body).is_err());
    assert!(Envelope::read("application/json", b"{}").is_err());
}
