"""A stranger audits the logs of a demo nation from the entries of demo.json alone (aics-tlog). Argument: demo.json."""

import json
import sys
import urllib.request

from aics_tlog import HttpTileReader, WitnessPolicy, audit_tiles, parse_checkpoint, parse_note, parse_vkey, verify_checkpoint

for log in json.load(open(sys.argv[1]))["logs"]:
    lines = [line.split() for line in log["policy"].splitlines()]
    keys = [line[1] for line in lines if line[0] == "log"]
    assert keys == [log["vkey"]], keys
    witnesses = {line[1]: line[2] for line in lines if line[0] == "witness"}
    needed = witnesses[next(line[1] for line in lines if line[0] == "quorum")]
    policy = WitnessPolicy(quorum=1, witnesses=(parse_vkey(needed),))
    with urllib.request.urlopen(log["url"] + "/checkpoint/witnessed") as answer:
        note = parse_note(answer.read().decode())
    result = verify_checkpoint(
        note, parse_vkey(log["vkey"]), list(policy.witnesses), policy.quorum, expected_origin=log["origin"]
    )
    assert result.ok, result
    checkpoint = parse_checkpoint(note.text)
    report = audit_tiles(HttpTileReader(log["url"]), checkpoint.size, checkpoint.root)
    print("aics-tlog audited", log["origin"], report)
