"""The cases: which servers run, what goes wrong, who asks, and what a correct analysis says."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captures.lab.namespaces import SERVER, Lab, openssl, program
from captures.lab.ocsp import fetch, responder

HERE = Path(__file__).parent
V4, V6 = SERVER
#: What a correct analysis of a capture says: one of each list, and what else is not wrong.
Expected = dict[str, dict[str, Any]]
_SUMS = ["address-family-silent", "quic-blocked-tcp-answered"]


@dataclass(frozen=True)
class Case:
    """``play`` runs while both ends are recorded, after ``prepare``; attempts are what the clients wrote."""

    summary: str
    fault: str
    needs: tuple[str, ...]
    prepare: Callable[[Lab], None]
    play: Callable[[Lab], list[dict[str, Any]]]
    expected: Expected = field(default_factory=dict)


def quic(lab: Lab, address: str, count: int, *, timeout: float = 4.0, every: float = 0.2) -> list[dict[str, Any]]:
    """QUIC attempts, one after the other."""
    return _attempts(lab, "quic", address, count, timeout, every)


def tcp(lab: Lab, address: str, count: int, *, timeout: float = 8.0) -> list[dict[str, Any]]:
    """HTTP requests over TCP, one after the other."""
    return _attempts(lab, "tcp", address, count, timeout, 0.2)


def curl(lab: Lab, address: str, count: int) -> list[dict[str, Any]]:
    """HTTPS requests of curl, one after the other."""
    return _attempts(lab, "curl", address, count, 8.0, 0.2)


def _attempts(lab: Lab, kind: str, address: str, count: int, timeout: float, every: float) -> list[dict[str, Any]]:
    command = [str(HERE / "clients.py"), kind, address, str(count), "--timeout", str(timeout), "--every", str(every)]
    lab.commands.append(f"client: python clients.py {' '.join(command[1:])}")
    written = lab.run("client", sys.executable, *command, timeout=600)
    return [json.loads(line) for line in written.splitlines()]


def certificate(folder: Path) -> tuple[str, str]:
    """A self-signed certificate of example.com and its key as files."""
    certified, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=example.com",
        "-addext", "subjectAltName=DNS:example.com", "-out", certified, "-keyout", key,
    )  # fmt: skip
    return certified, key


def workers(lab: Lab, count: int, *options: str) -> None:
    """``lab.workers``: processes of aioquic that share UDP port 443 of both addresses."""
    files = certificate(lab.folder)
    command = [sys.executable, str(HERE / "quic_server.py"), *files, V4, V6, *options]
    lab.workers = [lab.start("server", *command) for _ in range(count)]
    time.sleep(1.5)


def caddy(lab: Lab) -> None:
    """Caddy with HTTP/3 and HTTP/2 on port 443 of all addresses."""
    files = certificate(lab.folder)
    config = lab.folder / "Caddyfile"
    config.write_text(
        f'{{\n admin off\n auto_https off\n}}\nhttps://example.com:443 {{\n tls {" ".join(files)}\n respond "ok"\n}}\n',
        encoding="utf-8",
    )
    home = {"HOME": str(lab.folder), "XDG_DATA_HOME": str(lab.folder), "XDG_CONFIG_HOME": str(lab.folder)}
    lab.start("server", program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile", env=home)
    time.sleep(2.5)


def ngtcp2(lab: Lab) -> None:
    """Servers of ngtcp2, one per address, which answer first with Retry."""
    certified, key = certificate(lab.folder)
    gtlsserver = program("gtlsserver")
    for address in SERVER:
        lab.start("server", gtlsserver, "--quiet", "--validate-addr", address, "443", key, certified)
    time.sleep(1.0)


def http(lab: Lab) -> None:
    """Python's HTTP server on TCP port 80 of all addresses."""
    (lab.folder / "www").mkdir()
    (lab.folder / "www" / "index.html").write_text("ok\n", encoding="utf-8")
    lab.start(
        "server", sys.executable, "-m", "http.server", "80", "--bind", "::", "--directory", str(lab.folder / "www")
    )
    time.sleep(1.0)


def _both_families(lab: Lab) -> list[dict[str, Any]]:
    return [*quic(lab, V4, 3), *quic(lab, V6, 3)]


def _quic_and_curl(lab: Lab) -> list[dict[str, Any]]:
    return [*_both_families(lab), *curl(lab, V4, 2), *curl(lab, V6, 2)]


def _with(start: Callable[[Lab], Any], where: str, rule: str) -> Callable[[Lab], None]:
    def prepare(lab: Lab) -> None:
        start(lab)
        lab.drop(where, rule)

    return prepare


def _dead_worker(lab: Lab) -> list[dict[str, Any]]:
    """Half of the attempts, then one of four workers is stopped, then the other half."""
    before = quic(lab, V4, 24, timeout=2.0, every=0.05)
    lab.stop(lab.workers[0])
    return [*before, *quic(lab, V4, 48, timeout=2.0, every=0.05)]


def stopped(before: int, after: int) -> Callable[[Lab], list[dict[str, Any]]]:
    """Some attempts, then the only server process is stopped, then some more."""

    def play(lab: Lab) -> list[dict[str, Any]]:
        answered = quic(lab, V4, before)
        lab.stop(lab.workers[0])
        return [*answered, *quic(lab, V4, after)]

    return play


def _start_one(lab: Lab) -> None:
    workers(lab, 1)


def _start_four(lab: Lab) -> None:
    workers(lab, 4)


def _tcp_families(lab: Lab) -> list[dict[str, Any]]:
    return [*tcp(lab, V4, 3), *tcp(lab, V6, 2)]


def _silent(*patterns: str, may: list[str] | None = None) -> dict[str, Any]:
    return {"must": [[pattern] for pattern in patterns], "may": _SUMS if may is None else may}


_NO_REPLY = f"quic-initial-no-reply@ipv4@{V4}#443"
_FINE: dict[str, Any] = {"must": [], "may": []}
_WITHOUT = ["no-address-family-fallback", "resolved-not-tried"]
_NOT_TRIED: dict[str, Any] = {"must": [_WITHOUT], "may": [*_WITHOUT, "ocsp-fetch-failed"]}

CASES: dict[str, Case] = {
    "aioquic-ok": Case(
        "aioquic answers over both families",
        "none",
        ("tcpdump", "openssl"),
        _start_one,
        _both_families,
        {"client.pcap": _FINE, "server.pcap": _FINE},
    ),
    "ngtcp2-ok": Case(
        "ngtcp2 answers over both families, each first Initial with Retry",
        "none",
        ("tcpdump", "openssl", "gtlsserver"),
        ngtcp2,
        _both_families,
        {"client.pcap": _FINE, "server.pcap": _FINE},
    ),
    "caddy-ok": Case(
        "Caddy answers over both families",
        "none",
        ("tcpdump", "openssl", "curl", "caddy"),
        caddy,
        _quic_and_curl,
        {"client.pcap": _FINE, "server.pcap": _FINE},
    ),
    "caddy-ipv4-output-drop": Case(
        "IPv4 Initials reach the server's interface and nothing is sent back; TCP and IPv6 work",
        "the server's own namespace drops what leaves from UDP port 443 over IPv4",
        ("tcpdump", "openssl", "curl", "caddy", "nft"),
        _with(caddy, "server", "meta nfproto ipv4 udp sport 443"),
        _quic_and_curl,
        {"client.pcap": _silent(_NO_REPLY, "address-family-silent@ipv4"),
         "server.pcap": _silent(_NO_REPLY, "address-family-silent@ipv4")},
    ),
    "path-drop": Case(
        "IPv4 Initials leave the client and never arrive at the server; IPv6 works",
        "the bridge between both drops UDP to port 443 over IPv4",
        ("tcpdump", "openssl", "nft"),
        _with(_start_one, "path", "ether type ip udp dport 443"),
        _both_families,
        {"client.pcap": _silent(_NO_REPLY, "address-family-silent@ipv4"), "server.pcap": _FINE},
    ),
    "retry-lost": Case(
        "the server answers every Initial with Retry; over IPv4 they never arrive at the client",
        "the bridge between both drops UDP from port 443 over IPv4",
        ("tcpdump", "openssl", "nft"),
        _with(lambda lab: workers(lab, 1, "--retry"), "path", "ether type ip udp sport 443"),
        _both_families,
        {"client.pcap": _silent(_NO_REPLY, "address-family-silent@ipv4"),
         "server.pcap": _silent("quic-retry-failed@ipv4")},
    ),
    "haproxy-ocsp-noroute": Case(
        "HAProxy asks for the AAAA record of its OCSP responder alone, has no route there, and no packet follows",
        "by default httpclient.resolvers.prefer is ipv6, and HAProxy's host has no IPv6",
        ("tcpdump", "openssl", "dnsmasq", "haproxy"),
        responder,
        fetch,
        {"client.pcap": _NOT_TRIED, "server.pcap": _NOT_TRIED},
    ),
    "haproxy-ocsp-prefer-ipv4": Case(
        "the same host without IPv6; HAProxy asks for the A record and fetches over IPv4",
        "none: httpclient.resolvers.prefer is ipv4",
        ("tcpdump", "openssl", "dnsmasq", "haproxy"),
        responder,
        lambda lab: fetch(lab, "httpclient.resolvers.prefer ipv4"),
        {"client.pcap": _FINE, "server.pcap": _FINE},
    ),
    "synack-lost-path": Case(
        "over IPv4 SYN/ACKs leave the server and never arrive at the client; IPv6 works",
        "the bridge between both drops TCP from port 80 over IPv4",
        ("tcpdump", "nft"),
        _with(http, "path", "ether type ip tcp sport 80"),
        _tcp_families,
        {"client.pcap": _silent("tcp-syn-no-reply@ipv4"), "server.pcap": _silent("tcp-handshake-incomplete@ipv4")},
    ),
    "server-stopped": Case(
        "requests reach the server's interface, and its only process no longer reads them",
        "the server process gets SIGSTOP after three attempts",
        ("tcpdump", "openssl"),
        _start_one,
        stopped(3, 3),
        {"client.pcap": _silent(_NO_REPLY, may=["socket-went-silent"]),
         "server.pcap": _silent(_NO_REPLY, may=["socket-went-silent"])},
    ),
    "reuseport-dead-worker": Case(
        "one of four sockets of an SO_REUSEPORT group is no longer read; its clients hear nothing",
        "the first of four workers gets SIGSTOP half-way",
        ("tcpdump", "openssl"),
        _start_four,
        _dead_worker,
        {"client.pcap": _silent("socket-partial-silence@ipv4", may=["quic-initial-no-reply"]),
         "server.pcap": _silent("socket-partial-silence@ipv4", may=["quic-initial-no-reply"])},
    ),
}  # fmt: skip
