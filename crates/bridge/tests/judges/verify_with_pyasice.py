"""pyasice opens containers, compares their manifest with their files, and verifies the values of the signature and of the OCSP response.

It knows SHA-256 only for the signed properties: all of a signature of that kind it verifies. Where they have SHA-512, as X-Road's own, that
step it cannot do, and says so in one way that is tested here, so that a version which can is noticed. Of OCSP responses it takes those signed with RSA by itself; ours are ECDSA,
so its verifier is given their parts.

Arguments: containers of a message with a body."""
import io
import sys
import zipfile

from pyasice import Container
from pyasice.exceptions import SignatureVerificationError
from pyasice.signature_verifier import verify


def rewritten(path, change):
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            content = change(entry.filename, old.read(entry.filename))
            if content is not None:
                new.writestr(entry, content)
    return out


digests = set()
for path in sys.argv[1:]:
    container = Container.open(path)
    assert "message.xml" in container.data_file_names and "attachment1" in container.data_file_names, container.data_file_names
    assert container.signature_file_names == ["META-INF/signatures.xml"], container.signature_file_names
    (signature,) = container.iter_signatures()
    subject = signature.get_certificate().asn1.subject.native
    assert subject["country_name"], subject
    info = signature.canonicalize(signature._get_node("ds:SignedInfo"))
    value, certificate = signature.get_signature_value(), signature.get_certificate_value()
    digest = signature.get_signature_algorithm().split("-")[-1]
    verify(certificate, value, info, digest)
    response = signature.get_ocsp_response().ocsp_response
    assert response["response_status"].native == "successful"
    basic = response.basic_ocsp_response
    ocsp_digest = basic["signature_algorithm"]["algorithm"].native.split("_")[0]
    verify(basic["certs"][0].dump(), basic["signature"].native, response.response_data.dump(), ocsp_digest)
    try:
        verify(certificate, value, info.replace(b"attachment1", b"attachment2"), digest)
        raise SystemExit("what is signed was altered, and pyasice did not notice")
    except SignatureVerificationError:
        pass
    try:
        container.verify_signatures()
        assert digest == "sha256", "pyasice verifies all of a signature with SHA-512 by now: let it, and take this out"
    except ValueError as error:
        assert digest == "sha512" and "not prepared" in str(error), error
    digests.add(digest)
    for change in (lambda name, content: None if name == "attachment1" else content,):
        try:
            Container(rewritten(path, change))
            raise SystemExit("a file is missing, and pyasice did not notice")
        except Container.Error as error:
            assert "Manifest file is out of date" in str(error), error
assert "sha256" in digests, digests
print("pyasice is content")
