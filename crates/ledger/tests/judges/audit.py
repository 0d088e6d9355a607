"""Strangers judge a log of ours: aics-tlog audits every tile and entry, metamorphic-log verifies notes and proofs, and the
client of aics-witness has our witness cosign. Arguments: URL and vkey of the log, URL and vkey of the witness."""

import base64
import sys
import urllib.request

import metamorphic_log
from aics_tlog import audit_tiles, parse_checkpoint, parse_note, parse_vkey, verify_checkpoint, HttpTileReader
from aics_witness.feeder import WitnessClient, WitnessRejected, merge_cosignatures

url, log_vkey, witness_url, witness_vkey = sys.argv[1:]


def get(path):
    with urllib.request.urlopen(url + path) as answer:
        return answer.read()


def hashes(path):
    return [base64.b64decode(line) for line in get(path).decode().splitlines()]


text = get("/checkpoint").decode()
note = parse_note(text)
result = verify_checkpoint(note, parse_vkey(log_vkey), expected_origin=log_vkey.split("+")[0])
assert result.log_ok, result
checkpoint = parse_checkpoint(note.text)
report = audit_tiles(HttpTileReader(url), checkpoint.size, checkpoint.root)
print("aics-tlog audited", report)

head = metamorphic_log.checkpoint_verify(text, [log_vkey])
assert head.size == checkpoint.size, head
for index in (0, 1, checkpoint.size // 2, checkpoint.size - 1):
    proof = get(f"/proof/{index}").decode()
    lines, signed = proof.split("\n\n", 1)
    lines = lines.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1" and lines[1] == f"index {index}"
    path = [base64.b64decode(line) for line in lines[2:]]
    tile = get(f"/tile/0/{index // 256:03}" + ("" if index // 256 < checkpoint.size // 256 else f".p/{checkpoint.size % 256}"))
    leaf = tile[index % 256 * 32:index % 256 * 32 + 32]
    metamorphic_log.checkpoint_verify_inclusion(signed, [log_vkey], index, leaf, path)
    try:
        metamorphic_log.checkpoint_verify_inclusion(signed, [log_vkey], index, bytes(32), path)
        sys.exit("a wrong leaf was proved")
    except metamorphic_log.VerifyError:
        pass
print("metamorphic-log verified the checkpoint and four proofs")


def consistency(old, new):
    return hashes(f"/consistency/{old}/{new}")


client = WitnessClient(witness_url, witness_vkey, max_future_seconds=None, max_age_seconds=None)
line = client.submit(text, consistency)
merged = merge_cosignatures(text, line)
result = verify_checkpoint(parse_note(merged), parse_vkey(log_vkey), [parse_vkey(witness_vkey)], 1)
assert result.ok, result
print("aics-witness's client accepts the cosignature of our witness")
