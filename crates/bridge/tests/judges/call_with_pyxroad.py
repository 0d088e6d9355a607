"""pyxroad, the Ukrainian client: reads the WSDL by the old route `GET /wsdl`, calls through the node as its HTTP proxy.

Argument: the address of the node for applications."""
import sys

from XRoad import XClient

client = XClient(ssu=sys.argv[1], client="BB/COM/2001/credit", service="BB/GOV/1002/fisc/getState/v1")
answer = client.request(xroad_id="pyxroad-1", parcel="7")
assert answer == "fine é", answer
print("pyxroad is content")
