"""A QUIC server of aioquic, one process: python quic_server.py CERTIFICATE KEY ADDRESS... [--retry].

Each address gets a socket of its own with SO_REUSEPORT, so that several such processes are a group.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import socket

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration


def listening(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, 443))
    return made


async def serve(options: argparse.Namespace) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(options.certificate, options.key)
    make = functools.partial(
        QuicServer, configuration=configuration, create_protocol=QuicConnectionProtocol, retry=options.retry
    )
    for address in options.addresses:
        await asyncio.get_running_loop().create_datagram_endpoint(make, sock=listening(address))
    await asyncio.Event().wait()


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("certificate")
    given.add_argument("key")
    given.add_argument("addresses", nargs="+")
    given.add_argument("--retry", action="store_true")
    asyncio.run(serve(given.parse_args()))
