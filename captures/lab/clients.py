"""Clients that say what they saw: python clients.py quic|tcp|curl ADDRESS COUNT [--timeout S] [--every S].

Writes one JSON object per attempt: when it began, its source port, and what became of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import subprocess
import time


async def quic(address: str, timeout: float) -> dict[str, object]:
    """One QUIC handshake."""
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    wanted = QuicConfiguration(alpn_protocols=["h3"], server_name="example.com", verify_mode=ssl.CERT_NONE)
    loop, local = asyncio.get_running_loop(), "::" if ":" in address else "0.0.0.0"
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: QuicConnectionProtocol(QuicConnection(configuration=wanted)), local_addr=(local, 0)
    )
    begun = time.time()
    seen: dict[str, object] = {"t": begun, "sport": transport.get_extra_info("sockname")[1], "client": "aioquic"}
    protocol.connect((address, 443, 0, 0) if ":" in address else (address, 443))  # as the socket names the peer
    try:
        await asyncio.wait_for(protocol.wait_connected(), timeout)
        seen["handshake"] = "ok"
    except (TimeoutError, ConnectionError) as error:
        seen["handshake"] = "timeout" if isinstance(error, TimeoutError) else str(error)
    seen["dur"] = round(time.time() - begun, 3)
    protocol.close()
    await asyncio.sleep(0.1)
    transport.close()
    return seen


def tcp(address: str, timeout: float) -> dict[str, object]:
    """One HTTP request over TCP port 80."""
    begun = time.time()
    seen: dict[str, object] = {"t": begun, "client": "python-tcp"}
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(timeout)
    made.bind(("::" if ":" in address else "0.0.0.0", 0))
    seen["sport"] = made.getsockname()[1]
    try:
        made.connect((address, 80))
        made.sendall(b"GET / HTTP/1.0\r\nHost: example.com\r\n\r\n")
        seen["result"] = made.recv(4096).split(b"\r\n", 1)[0].decode("ascii", "replace")
    except OSError as error:
        seen["result"] = "timeout" if isinstance(error, TimeoutError) else str(error)
    made.close()
    return seen | {"dur": round(time.time() - begun, 3)}


def curl(address: str, timeout: float) -> dict[str, object]:
    """One HTTPS request of curl; over HTTP/3, and TCP where that fails, if it is built with HTTP/3."""
    begun = time.time()
    host = f"[{address}]" if ":" in address else address
    command = ["curl", "--silent", "--insecure", "--max-time", str(timeout), "--output", "/dev/null"]
    if "HTTP3" in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split():
        command.append("--http3")
    command += ["--resolve", f"example.com:443:{host}", "--write-out", "%{json}", "https://example.com/"]
    said = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    result = said["errormsg"] or f"HTTP/{said['http_version']} {said['http_code']}"
    client = said["curl_version"].split()[0]
    return {"t": begun, "client": client, "sport": said["local_port"], "result": result, "dur": said["time_total"]}


if __name__ == "__main__":
    given = argparse.ArgumentParser()
    given.add_argument("kind", choices=("quic", "tcp", "curl"))
    given.add_argument("address")
    given.add_argument("count", type=int)
    given.add_argument("--timeout", type=float, default=4.0)
    given.add_argument("--every", type=float, default=0.2)
    options = given.parse_args()
    for number in range(options.count):
        if options.kind == "quic":
            attempt = asyncio.run(quic(options.address, options.timeout))
        else:
            attempt = (curl if options.kind == "curl" else tcp)(options.address, options.timeout)
        print(json.dumps({"i": number, "dst": options.address, **attempt}), flush=True)
        time.sleep(options.every)
