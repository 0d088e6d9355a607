// soap, the SOAP client of Node.js, against a node: metaservices, a WSDL as an attachment, a service by that WSDL, a fault, an attachment back.
//
// Arguments: the address of the node for applications, the WSDL of the metaservices, a folder for files.
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const soap = require("soap");

const [node, metaservices, folder] = process.argv.slice(2);
const X = 'xmlns:x="http://x-road.eu/xsd/xroad.xsd" xmlns:i="http://x-road.eu/xsd/identifiers"';

function identifier(name, type, parts) {
  const children = Object.entries(parts).map(([part, value]) => `<i:${part}>${value}</i:${part}>`).join("");
  return `<x:${name} ${X} i:objectType="${type}">${children}</x:${name}>`;
}

function headers(client, code, id, version) {
  client.clearSoapHeaders();
  client.addSoapHeader(identifier("client", "SUBSYSTEM", { xRoadInstance: "BB", memberClass: "COM", memberCode: "2001", subsystemCode: "credit" }));
  const service = { xRoadInstance: "BB", memberClass: "GOV", memberCode: "1002", subsystemCode: "fisc", serviceCode: code };
  client.addSoapHeader(identifier("service", "SERVICE", version ? { ...service, serviceVersion: version } : service));
  const plain = { id, userId: "BB42", issue: "case 7", protocolVersion: "4.0" };
  Object.entries(plain).forEach(([name, value]) => client.addSoapHeader(`<x:${name} ${X}>${value}</x:${name}>`));
}

async function main() {
  const options = { endpoint: node, parseReponseAttachments: true };
  const meta = await soap.createClientAsync(metaservices, options);
  for (const code of ["listMethods", "allowedMethods"]) {
    headers(meta, code, `soap-${code}`);
    const [methods] = await meta[`${code}Async`]({});
    const found = methods.service.map((method) => `${method.serviceCode}.${method.serviceVersion}`);
    assert(found.includes("getState.v1") && found.includes("getFiles.v1"), found.join());
    assert(!found.some((method) => method.startsWith("listMethods")), found.join());
  }

  headers(meta, "getWsdl", "soap-wsdl");
  const [, , , , pack] = await meta.getWsdlAsync({ serviceCode: "getState", serviceVersion: "v1" });
  assert.strictEqual(pack.parts.length, 1);
  const text = Buffer.from(pack.parts[0].body).toString();
  assert(text.includes("http://example.org/xroad-endpoint") && !text.includes("10.1.2.3"), text);
  const file = path.join(folder, "state.wsdl");
  fs.writeFileSync(file, text);

  const state = await soap.createClientAsync(file, options);
  headers(state, "getState", "soap-state", "v1");
  const [answer, , header] = await state.getStateAsync({ parcel: "7 é & <" });
  assert.strictEqual(answer.state, "fine é");
  assert.strictEqual(header.id, "soap-state");
  assert.strictEqual(header.requestHash.attributes.algorithmId, "http://www.w3.org/2001/04/xmlenc#sha512");

  headers(state, "getFiles", "soap-files", "v1");
  const [, , , , files] = await state.getFilesAsync({ parcel: "7" });
  assert.strictEqual(Buffer.from(files.parts[0].body).toString(), "a file\r\n--");

  headers(state, "getFault", "soap-fault", "v1");
  await assert.rejects(state.getFaultAsync({}), (error) => {
    assert.strictEqual(error.root.Envelope.Body.Fault.faultcode, "s:Client.Unknown");
    assert.strictEqual(error.root.Envelope.Body.Fault.faultstring, "no such parcel");
    return true;
  });
  headers(state, "getState", "soap-none", "v9");
  await assert.rejects(state.getStateAsync({ parcel: "7" }), (error) => {
    assert.strictEqual(error.root.Envelope.Body.Fault.faultcode, "server.serverproxy.unknown_service");
    return true;
  });
  console.log("soap is content");
}

main().catch((error) => {
  console.error(error.root ? JSON.stringify(error.root) : error);
  process.exit(1);
});
