// Checks a file against its proof, here in the browser. Nothing is sent: the page's content security policy forbids it.
// In this order: form of the proof, digest of the file, salt and record to the entry, path to the root, signature of the log,
// cosignatures of the witnesses, their quorum. The first rule that fails is named.
const check = document.getElementById("check");
const say = (key, words = {}) =>
  Object.entries(words).reduce((text, [name, value]) => text.replaceAll(`[${name}]`, String(value)), check.dataset[key]);
const encode = (text) => new TextEncoder().encode(text);
const decode64 = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) || [], (pair) => parseInt(pair, 16));
const same = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const LARGE = 1024 * 1024 * 1024;

class Refused extends Error {
  constructor(rule, words) {
    super(rule);
    this.words = words;
  }
}

// C2SP tlog-proof, with salt and record in its extra line.
function readProof(text) {
  try {
    const cut = text.indexOf("\n\n");
    const lines = text.slice(0, cut).split("\n");
    const note = text.slice(cut + 2);
    const opening = JSON.parse(new TextDecoder().decode(decode64(lines[1].replace(/^extra /, ""))));
    const index = BigInt(lines[2].match(/^index (0|[1-9][0-9]*)$/)[1]);
    const end = note.indexOf("\n\n") + 1;
    const [origin, size, root] = note.slice(0, end).split("\n");
    const signatures = note.slice(end + 1).trimEnd().split("\n").map((line) => {
      const [mark, name, blob] = line.split(" ");
      const bytes = decode64(blob);
      if (mark !== "\u2014") throw new Error("mark");
      return { name, id: hex(bytes.slice(0, 4)), bytes: bytes.slice(4) };
    });
    const good = cut > 0 && end > 0 && lines[0] === "c2sp.org/tlog-proof@v1" && opening.v === 1 && /^[0-9a-f]{64}$/.test(opening.salt);
    if (!good) throw new Error("form");
    const record = JSON.parse(opening.record);
    return {
      record, raw: opening.record, salt: unhex(opening.salt), index, path: lines.slice(3).map(decode64),
      text: note.slice(0, end), origin, size: BigInt(size), root: decode64(root), signatures,
    };
  } catch {
    throw new Refused("form");
  }
}

async function readKey(text) {
  const [, name, id, key] = text.match(/^([^+]+)\+([0-9a-f]{8})\+(.+)$/);
  const typed = decode64(key);
  const expected = (await sha256(join(encode(`${name}\n`), typed))).slice(0, 4);
  if (hex(expected) !== id) throw new Error("key id");
  return { name, id, type: typed[0], raw: typed.slice(1) };
}

// C2SP tlog-policy.
async function readPolicy(text) {
  const policy = { logs: [], witnesses: new Map(), groups: new Map(), quorum: undefined };
  try {
    for (const line of text.split("\n")) {
      const words = line.split(/[ \t]+/).filter((word) => word);
      if (!words.length || words[0].startsWith("#")) continue;
      if (words[0] === "log") policy.logs.push(await readKey(words[1]));
      else if (words[0] === "witness") policy.witnesses.set(words[1], await readKey(words[2]));
      else if (words[0] === "group") {
        const members = words.slice(3);
        const needed = words[2] === "all" ? members.length : words[2] === "any" ? 1 : Number(words[2]);
        if (!(needed >= 1 && needed <= members.length)) throw new Error("group");
        policy.groups.set(words[1], { needed, members });
      } else if (words[0] === "quorum") policy.quorum = words[1];
      else throw new Error("word");
    }
    if (!policy.logs.length || policy.quorum === undefined) throw new Error("incomplete");
    return policy;
  } catch {
    throw new Refused("log", { origin: "–" });
  }
}

async function signed(key, message, signature) {
  const loaded = await crypto.subtle.importKey("raw", key.raw, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, loaded, signature, message);
}

// RFC 6962: from the entry up to the root.
async function rootOf(leaf, index, size, path) {
  let hash = await sha256(join([0], leaf));
  let place = index;
  let last = size - 1n;
  for (const sibling of path) {
    if (last === 0n || sibling.length !== 32) return undefined;
    if (place % 2n === 1n || place === last) {
      hash = await sha256(join([1], sibling, hash));
      while (place % 2n === 0n && place !== 0n) {
        place /= 2n;
        last /= 2n;
      }
    } else {
      hash = await sha256(join([1], hash, sibling));
    }
    place /= 2n;
    last /= 2n;
  }
  return last === 0n ? hash : undefined;
}

async function judge(file, proof, policy) {
  const digest = hex(await sha256(await file.arrayBuffer()));
  if (proof.record.sha256 !== digest) throw new Refused("digest", { digest, recorded: proof.record.sha256 });
  const key = await crypto.subtle.importKey("raw", proof.salt, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const leaf = new Uint8Array(await crypto.subtle.sign("HMAC", key, encode(proof.raw)));
  const root = proof.index < proof.size ? await rootOf(leaf, proof.index, proof.size, proof.path) : undefined;
  if (!root || !same(root, proof.root)) throw new Refused("path");
  const find = (known) => proof.signatures.find((one) => one.name === known.name && one.id === known.id);
  const log = policy.logs.find((known) => known.type === 1 && known.name === proof.origin && find(known));
  if (!log || !(await signed(log, encode(proof.text), find(log).bytes))) throw new Refused("log", { origin: proof.origin });
  const cosigned = new Map();
  const unchecked = [];
  for (const [name, witness] of policy.witnesses) {
    const found = find(witness);
    if (!found) continue;
    if (witness.type !== 4) {
      unchecked.push(name);
      continue;
    }
    const seconds = new DataView(found.bytes.buffer).getBigUint64(0);
    const message = encode(`cosignature/v1\ntime ${seconds}\n${proof.text}`);
    if (!(await signed(witness, message, found.bytes.slice(8)))) throw new Refused("witness", { name });
    cosigned.set(name, new Date(Number(seconds) * 1000));
  }
  const holds = (name, depth = 0) => {
    const group = policy.groups.get(name);
    if (!group) return cosigned.has(name);
    return depth < 64 && group.members.filter((member) => holds(member, depth + 1)).length >= group.needed;
  };
  if (policy.quorum !== "none" && !holds(policy.quorum)) {
    throw new Refused("quorum", { there: [...cosigned.keys()].join(", ") || "–", needed: policy.quorum });
  }
  return { cosigned, unchecked };
}

function show(title, lines, good) {
  const box = document.createElement("div");
  box.className = good ? "notice" : "notice bad";
  const heading = document.createElement("h2");
  heading.textContent = title;
  box.append(heading);
  for (const line of lines) {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    box.append(paragraph);
  }
  document.getElementById("verdict").replaceChildren(box);
}

async function run() {
  const [file] = document.getElementById("document").files;
  const [proofFile] = document.getElementById("proof").files;
  if (!file || !proofFile) return;
  if (file.size > LARGE) return show(say("refused"), [say("large")], false);
  const date = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "medium" });
  try {
    const proof = readProof(await proofFile.text());
    const { cosigned, unchecked } = await judge(file, proof, await readPolicy(document.getElementById("policy").value));
    const lines = [
      say("by", { client: proof.record.client }),
      say("time", { at: date.format(new Date(proof.record.at)) }),
      say("index", { index: proof.index, origin: proof.origin }),
      ...[...cosigned].map(([name, at]) => say("cosigned", { name, at: date.format(at) })),
      ...unchecked.map((name) => say("unchecked", { name })),
      say("not"),
    ];
    show(say("accepted"), lines, true);
  } catch (error) {
    if (!(error instanceof Refused)) return show(say("refused"), [say("unable")], false);
    show(say("refused"), [say(error.message, error.words)], false);
  }
}

// A dropped file goes to the proof if it looks like one, else it is the document.
function drop(event) {
  event.preventDefault();
  for (const file of event.dataTransfer.files) {
    const list = new DataTransfer();
    list.items.add(file);
    document.getElementById(file.name.endsWith(".tlog-proof") ? "proof" : "document").files = list.files;
  }
  run();
}

async function start() {
  check.hidden = false;
  try {
    await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
  } catch {
    return show(say("refused"), [say("unable")], false);
  }
  document.getElementById("go").addEventListener("click", run);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", drop);
}

start();
