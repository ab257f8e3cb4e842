"""The allow-list: findings that a team knows of and accepts, with a reason, from a file in TOML.

    [[accept]]
    pattern = "quic-blocked-tcp-answered"
    server = "192.0.2.80:443"                # optional: address, address:port, network, or server name
    family = "ipv4"                          # optional
    reason = "no HTTP/3 on the old cluster, see OPS-1234"

An accepted finding is still shown, with its reason; it decides no verdict and no exit status. What sums up an accepted
finding is not accepted by that, but the parts of an accepted summary are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.errors import UsageError, did_you_mean
from analyzer.patterns import catalogue

_KEYS = ("pattern", "server", "family", "reason")
_FAMILIES = ("ipv4", "ipv6", "both")
_SOCKET = re.compile(r"\[([^\]]+)\]:(\d+)|([^:]+):(\d+)")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One entry; "" and -1 fit everything. ``address`` is an address, a network, or a name."""

    pattern: str
    reason: str
    address: str = ""
    port: int = -1
    family: str = ""

    def fits(self, finding: Mapping[str, Any]) -> bool:
        """Whether this entry accepts a finding of the report document."""
        server = finding.get("server") or {}
        return (
            finding["pattern"] == self.pattern
            and self.family in ("", finding.get("family"))
            and self.port in (-1, server.get("port"))
            and (not self.address or self.address == finding.get("name") or _is_in(server.get("address"), self.address))
        )


def read_config(path: Path) -> tuple[Accepted, ...]:
    """The allow-list of a file; raises UsageError that says what is wrong, where, and what to try."""
    import tomllib

    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is no UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: no TOML: {error}") from error
    for key in content:
        if key != "accept":
            raise UsageError(f"{path}: {key!r} is not known here; write entries as [[accept]]")
    entries = content.get("accept", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path}: accept is no list of tables; begin each entry with [[accept]]")
    return tuple(_entry(entry, f"{path}: accept entry {number}") for number, entry in enumerate(entries, 1))


def _entry(entry: Mapping[str, Any], where: str) -> Accepted:
    for key, value in entry.items():
        if key not in _KEYS:
            raise UsageError(f"{where}: {key!r} is not known; {_nearest(key, _KEYS)}")
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{where}: {key} is no text; put it between quotation marks")
    for key in ("pattern", "reason"):
        if key not in entry:
            raise UsageError(f"{where}: {key} is missing; every entry says which pattern, and why")
    known = catalogue.ids()
    if entry["pattern"] not in known:
        raise UsageError(f"{where}: no pattern {entry['pattern']!r}; {_nearest(entry['pattern'], known)}")
    family = entry.get("family", "").lower()
    if family not in ("", *_FAMILIES):
        raise UsageError(f"{where}: no family {family!r}; write {', '.join(_FAMILIES)}")
    address, port = _server(entry.get("server", ""), where)
    return Accepted(entry["pattern"], " ".join(entry["reason"].split()), address, port, family)


def _server(text: str, where: str) -> tuple[str, int]:
    found = _SOCKET.fullmatch(text)
    address, port = (found[1] or found[3], int(found[2] or found[4])) if found else (text, -1)
    if port > 65_535:
        raise UsageError(f"{where}: {port} is no port; ports end at 65535")
    if "/" in address:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise UsageError(f"{where}: {address!r} is no network; write it like 192.0.2.0/24") from error
    return address, port


def _nearest(word: str, known: Iterable[str]) -> str:
    return did_you_mean(word, known) or f"known are {', '.join(list(known)[:8])}"


def _is_in(address: str | None, wanted: str) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def mark_accepted(findings: Sequence[dict[str, Any]], allowed: Sequence[Accepted]) -> None:
    """Write into each finding of a report document why it is accepted, None where it is not."""
    by_id = {finding["id"]: finding for finding in findings}
    reasons = {
        name: next((each.reason for each in allowed if each.fits(finding)), None) for name, finding in by_id.items()
    }
    for finding in findings:
        line = [finding["id"]]  # the finding and what sums it up, from below
        while (above := by_id[line[-1]].get("part_of")) in by_id and above not in line:
            line.append(above)
        finding["accepted"] = next((reasons[name] for name in line if reasons[name] is not None), None)
