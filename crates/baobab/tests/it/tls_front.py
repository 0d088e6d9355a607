"""Takes TLS off in front of an address: FRONT HOST:PORT, CERTIFICATE and KEY (PEM), BEHIND HOST:PORT. Every connection is passed on as it is."""

import asyncio
import ssl
import sys


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main(front, certificate, key, behind):
    async def connected(reader, writer):
        there_reader, there_writer = await asyncio.open_connection(*address(behind))
        await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer), return_exceptions=True)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(connected, *address(front), ssl=context)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
