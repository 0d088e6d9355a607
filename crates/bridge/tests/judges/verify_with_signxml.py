"""signxml verifies the XAdES signature of containers, the digests of the files that it names included, and refuses altered ones.

Arguments: containers of a message with a body."""
import sys
import zipfile
from base64 import b64decode

from cryptography.x509 import load_der_x509_certificate
from lxml import etree
from signxml import InvalidDigest, InvalidSignature, SignatureConfiguration
from signxml.xades import XAdESVerifier

DS = "{http://www.w3.org/2000/09/xmldsig#}"


def verify(files):
    signature = etree.fromstring(files["META-INF/signatures.xml"]).find(f".//{DS}Signature")
    certificate = load_der_x509_certificate(b64decode(signature.find(f".//{DS}X509Certificate").text))
    return XAdESVerifier().verify(
        etree.tostring(signature),
        x509_cert=certificate,
        uri_resolver=lambda uri: files[uri.lstrip("/")],
        expect_config=SignatureConfiguration(expect_references=True, require_x509=True),
    )


for path in sys.argv[1:]:
    with zipfile.ZipFile(path) as container:
        files = {name: container.read(name) for name in container.namelist()}
    # The message, its body, and the signed properties.
    assert len(verify(files)) == 3
    for name in ("message.xml", "attachment1"):
        try:
            verify({**files, name: files[name] + b" "})
            raise SystemExit(f"{name} was altered, and signxml did not notice")
        except InvalidDigest:
            pass
    altered = files["META-INF/signatures.xml"].replace(b"urn:oid:1.3.6.1.4.1.3516.16.2", b"urn:oid:1.3.6.1.4.1.3516.16.3")
    try:
        verify({**files, "META-INF/signatures.xml": altered})
        raise SystemExit("the signed properties were altered, and signxml did not notice")
    except (InvalidDigest, InvalidSignature):
        pass
print("signxml is content")
