"""What a finding is held against: the answered attempts nearest to it that its claim speaks of.

"Silent over IPv4 and answered over IPv6" is shown by two handshakes, not by one; of both kinds a finding cites the
failing ones alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.reports.summary import Analysed, Finding

Mask = NDArray[np.bool_]

_SAME_SOCKET = ("socket-partial-silence", "socket-went-silent")
_OTHER_FAMILY = "address-family-silent"
_TCP = "quic-blocked-tcp-answered"


def compared_with(analysis: Analysed, finding: Finding) -> list[str]:
    """Names of the last answered connection before the finding's first one and the first after it; often none."""
    names = finding.get("connections") or []
    if finding["pattern"] not in (*_SAME_SOCKET, _OTHER_FAMILY, _TCP) or not names or not finding.get("server"):
        return []
    table = analysis.connections
    all_names, times = table["connection"], table["first_time"]
    moment = times[all_names == names[0]]
    rows = np.flatnonzero(_answered(analysis, finding))
    if not len(rows) or not len(moment):
        return []
    rows = rows[np.argsort(times[rows], kind="stable")]
    place = int(np.searchsorted(times[rows], moment[0]))
    return [str(name) for name in all_names[rows[max(place - 1, 0) : place + 1]]]


def _answered(analysis: Analysed, finding: Finding) -> Mask:
    """The rows of connections that were answered where the finding says that some are."""
    table, server = analysis.connections, finding["server"]
    answered: Mask = table["outcome"] == "answered"
    is_tcp: Mask = table["transport"] == "tcp"
    here: Mask = table["server_address"] == server["address"]
    if finding["pattern"] == _TCP:
        return answered & is_tcp & here
    same: Mask = answered & (table["server_port"] == server["port"]) & (is_tcp == (finding["transport"] == "tcp"))
    if finding["pattern"] in _SAME_SOCKET:
        return same & here
    elsewhere: Mask = same & (table["family"] != finding["family"]) & _same_host(analysis, finding)
    return elsewhere


def _same_host(analysis: Analysed, finding: Finding) -> Mask:
    """Connections to the host of the finding's server, by its addresses or its name."""
    table, hosts, name = analysis.connections, analysis.hosts, finding.get("name")
    host_of: dict[Any, Any] = dict(zip(hosts["address"].tolist(), hosts["host"].tolist(), strict=True))
    host = host_of.get(finding["server"]["address"], "")
    pairs = zip(table["server_address"].tolist(), table["sni"].tolist(), strict=True)
    return np.array([(host and host_of.get(a) == host) or bool(name and sni == name) for a, sni in pairs], np.bool_)
