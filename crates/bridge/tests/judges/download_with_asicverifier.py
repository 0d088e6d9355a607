"""asicverifier downloads the verification data and the container of an exchange; its Java verifier is not part of the package, so it
must get as far as starting it.

Arguments: the address of the node for applications, the id of the message, request or response."""
import os
import sys

import asicverifier as judge

node, message, side = sys.argv[1:4]
os.environ["PATH"] = "/nowhere"
try:
    judge.asicverifier(node, message, "BB", "COM", "2001", "credit", judge.AsiceType(side))
    raise SystemExit("it found a Java verifier")
except FileNotFoundError as missing:
    assert missing.filename in ("yes", "java"), missing
folder = "asicverifier/security-server/" + node.split("//")[1].strip("/") + "/verificationconf"
instance = open(folder + "/instance-identifier").read().strip()
assert instance == "BB", instance
assert os.path.getsize(folder + "/BB/shared-params.xml") > 1000
print("asicverifier is content")
