"""A SOAP service as a provider writes it with fastapi-xroad-soap. Argument: the file that it writes its port into."""
import pathlib
import socket
import sys

import uvicorn
from fastapi_xroad_soap import MessageBody, SoapService, XroadHeader
from fastapi_xroad_soap.elements import Integer, String, SwaRef

soap = SoapService(name="Registry", this_namespace="https://registry.example")


class getParcel(MessageBody):
    Number = Integer()


class getParcelResponse(MessageBody):
    Number = Integer()
    Asker = String()


class putFile(MessageBody):
    File = SwaRef.Element(tag="File")


class putFileResponse(MessageBody):
    Size = Integer()
    File = SwaRef.Element(tag="File")


@soap.action("getParcel")
def get_parcel(body: getParcel, header: XroadHeader) -> getParcelResponse:
    return getParcelResponse(Number=body.Number + 1, Asker=header.client.subsystem_code)


@soap.action("putFile")
def put_file(body: putFile) -> putFileResponse:
    back = SwaRef.File(name="back.txt", content=body.File.content[::-1])
    return putFileResponse(Size=body.File.size, File=back)


# It binds itself: a port that somebody else chose may be taken by the time that this has started.
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(16)
pathlib.Path(sys.argv[1]).write_text(f"{listener.getsockname()[1]}\n")
uvicorn.Server(uvicorn.Config(soap, log_level="warning")).run(sockets=[listener])
