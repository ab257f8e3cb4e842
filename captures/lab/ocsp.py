"""HAProxy that fetches OCSP responses: a certificate authority, its responder, the names, and what HAProxy logs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from captures.lab.namespaces import SERVER, Lab, openssl, program

SITES = 2  # certificates, each of which is one fetch
STARTS = 3  # HAProxy fetches at once when it starts, and after a failure once a minute only
NAME = "ocsp.example.com"
_RESPONDER = f"authorityInfoAccess=OCSP;URI:http://{NAME}"


def responder(lab: Lab) -> None:
    """Certificates, ``openssl ocsp`` on TCP port 80 and dnsmasq, which knows both addresses of the responder's name."""
    _certificates(lab.folder)
    files = [str(lab.folder / name) for name in ("index.txt", "ca.pem", "ca.key")]
    lab.start(
        "server", program("openssl"), "ocsp", "-port", "80", "-index", files[0], "-CA", files[1],
        "-rsigner", files[1], "-rkey", files[2], "-ndays", "1",
    )  # fmt: skip
    lab.start(
        "server", program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--user=root", "--pid-file=", f"--listen-address={SERVER[0]}", "--bind-interfaces",
        f"--host-record={NAME},{','.join(SERVER)}",
    )  # fmt: skip
    lab.run("client", program("ip"), "-6", "address", "flush", "dev", "eth0")
    lab.note("the client's host has no IPv6 address and no route")
    time.sleep(1.0)


def fetch(lab: Lab, *settings: str) -> list[dict[str, Any]]:
    """Start HAProxy some times, which fetches a response per certificate each time; what it logged of them."""
    (lab.folder / "list.txt").write_text(
        "".join(f"{lab.folder}/site{number}.pem [ocsp-update on]\n" for number in range(SITES)), encoding="utf-8"
    )
    config = lab.folder / "haproxy.cfg"
    config.write_text(
        "global\n log stdout format raw local0\n"
        + "".join(f" {setting}\n" for setting in settings)
        + f"resolvers default\n nameserver lab {SERVER[0]}:53\n"
        + "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
        + f"frontend sites\n bind 127.0.0.1:8443 ssl crt-list {lab.folder}/list.txt\n http-request return status 200\n",
        encoding="utf-8",
    )
    for _ in range(STARTS):
        lab.note("haproxy start", settings=list(settings))
        process = lab.start("client", program("haproxy"), "-db", "-f", str(config))
        time.sleep(2.0)
        if process.poll() is not None:
            raise RuntimeError(f"haproxy ended with {process.returncode}")
        lab.end(process)
    logs = sorted(lab.folder.glob("haproxy-*.log"))
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    said = [line.partition("<OCSP-UPDATE> ")[2].removeprefix(f"{lab.folder}/") for line in lines]
    return [{"i": number, "client": "haproxy", "log": line} for number, line in enumerate(filter(None, said))]


def _certificates(folder: Path) -> None:
    """An authority, certificates of SITES names with their keys and issuer, and the authority's index of them."""
    authority = str(folder / "ca.pem"), str(folder / "ca.key")
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30")
    openssl(*new, "-subj", "/CN=Lab CA", "-out", authority[0], "-keyout", authority[1])
    index = []
    for number in range(SITES):
        name, pem, key = f"site{number}.example.com", folder / f"site{number}.pem", folder / f"site{number}.key"
        openssl(
            *new, "-subj", f"/CN={name}", "-addext", _RESPONDER, "-addext", "basicConstraints=CA:FALSE",
            "-set_serial", f"0x{0x10 + number:X}", "-CA", authority[0], "-CAkey", authority[1],
            "-out", str(pem), "-keyout", str(key),
        )  # fmt: skip
        parts = [pem, key, Path(authority[0])]
        pem.write_text("".join(part.read_text(encoding="ascii") for part in parts), encoding="ascii")
        index.append(f"V\t491231235959Z\t\t{0x10 + number:X}\tunknown\t/CN={name}\n")
    (folder / "index.txt").write_text("".join(index), encoding="ascii")
