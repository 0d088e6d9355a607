"""The command line of schemathesis, as it is."""

import sys

from schemathesis.cli import schemathesis

sys.exit(schemathesis())
