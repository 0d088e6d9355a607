"""zeep, a SOAP client, against a node: metaservices, a WSDL as an attachment, a service by that WSDL, attachments, a fault.

Arguments: the address of the node for applications, the WSDL of the metaservices, a folder for files."""
import pathlib
import sys

import zeep
from zeep.exceptions import Fault
from zeep.wsdl.attachments import MessagePack

node, metaservices, folder = sys.argv[1:4]
CLIENT = dict(objectType="SUBSYSTEM", xRoadInstance="BB", memberClass="COM", memberCode="2001", subsystemCode="credit")


def service_id(code, version=None):
    id = dict(objectType="SERVICE", xRoadInstance="BB", memberClass="GOV", memberCode="1002", subsystemCode="fisc", serviceCode=code)
    return dict(id, serviceVersion=version) if version else id


def headers(code, message, version=None, **more):
    return dict(client=CLIENT, service=service_id(code, version), id=message, protocolVersion="4.0", **more)


meta = zeep.Client(metaservices).create_service("{http://x-road.eu/xsd/xroad.xsd}binding", node)
for code in ("listMethods", "allowedMethods"):
    methods = getattr(meta, code)(_soapheaders=headers(code, f"zeep-{code}"))
    found = {(method.serviceCode, method.serviceVersion) for method in methods}
    assert {("getState", "v1"), ("getFiles", "v1")} <= found, found
    assert not {"listMethods", "getWsdl"} & {method.serviceCode for method in methods}

pack = meta.getWsdl(serviceCode="getState", serviceVersion="v1", _soapheaders=headers("getWsdl", "zeep-wsdl"))
assert isinstance(pack, MessagePack), pack
(wsdl,) = pack.attachments
text = wsdl.content
assert b"http://example.org/xroad-endpoint" in text and b"10.1.2.3" not in text, text
path = pathlib.Path(folder) / "state.wsdl"
path.write_bytes(text)

state = zeep.Client(str(path)).create_service("{http://registry.example/state}stateBinding", node)
answer = state.getState(parcel="7 é & <", _soapheaders=headers("getState", "zeep-state", "v1", userId="BB42", issue="case 7"))
assert answer == "fine é", answer

files = state.getFiles(parcel="7", _soapheaders=headers("getFiles", "zeep-files", "v1", userId="BB42", issue=""))
assert isinstance(files, MessagePack), files
(file,) = files.attachments
assert file.content == b"a file\r\n--", file.content

try:
    state.getFault(_soapheaders=headers("getFault", "zeep-fault", "v1", userId="BB42", issue="x"))
    raise SystemExit("a fault was expected")
except Fault as fault:
    assert fault.code == "s:Client.Unknown" and fault.message == "no such parcel", (fault.code, fault.message)
    assert fault.detail is not None and fault.detail[0].tag == "{urn:p}parcel"

try:
    state.getState(_soapheaders=headers("getState", "zeep-none", "v9", userId="BB42", issue="x"))
    raise SystemExit("an unknown version was answered")
except Fault as fault:
    assert fault.code == "server.serverproxy.unknown_service", fault.code
print("zeep is content")
