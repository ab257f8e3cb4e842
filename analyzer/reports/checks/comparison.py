"""Two analyses side by side: which sockets and findings appeared, vanished or changed, and whether it got worse.

Sockets are the same if transport, address family, address and port are; findings if pattern, transport, family and
server are. Shares are compared by their 95 % intervals (Wilson): what overlaps may be chance and is never called worse
or better. Worse is a finding (error or warning) that appeared, and a socket or a family whose share of answered
attempts fell beyond chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.patterns.words import FAMILIES, counted
from analyzer.reports.summary import Analysed, Finding, SocketKey, SocketLine, socket_groups
from analyzer.reports.text import seconds

WORSE, BETTER, OTHER = "worse", "better", "changed"

_Z = 1.96  # two-sided 95 % of the normal distribution
#: A median that changes by less than this factor is not told: machines and paths differ by as much from run to run.
LATENCY_FACTOR = 1.5
FEWEST_REPLIES = 5  # for a median to be compared

FindingKey = tuple[str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: worse, better or changed; of a socket, a finding or a family."""

    direction: str
    what: str
    sentence: str


def interval(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson; (0, 1) for none."""
    if not total:
        return 0.0, 1.0
    share = count / total
    centre = (share + _Z * _Z / (2 * total)) / (1 + _Z * _Z / total)
    spread = _Z / (1 + _Z * _Z / total) * math.sqrt(share * (1 - share) / total + _Z * _Z / (4 * total * total))
    return max(0.0, centre - spread), min(1.0, centre + spread)


def changes(before: Analysed, after: Analysed) -> list[Change]:
    """All differences, the worse first, then the better."""
    found = [*_finding_changes(before, after), *_socket_changes(before, after), *_family_changes(before, after)]
    order = (WORSE, BETTER, OTHER)
    return sorted(found, key=lambda change: order.index(change.direction))


def is_worse(found: list[Change]) -> bool:
    return any(change.direction == WORSE for change in found)


def _lines(analysis: Analysed) -> dict[SocketKey, SocketLine]:
    return {line.key: line for group in socket_groups(analysis) for line in group.lines}


def _socket_changes(before: Analysed, after: Analysed) -> Iterator[Change]:
    old, new = _lines(before), _lines(after)
    for key in sorted(old.keys() | new.keys()):
        name = (old.get(key) or new[key]).words
        if key not in new:
            yield Change(OTHER, "socket", f"vanished: {name}, before {_share(old[key])}")
        elif key not in old:
            yield Change(OTHER, "socket", f"appeared: {name}, {_share(new[key])}")
        else:
            yield from _share_change("socket", name, old[key], new[key])
            yield from _latency_change(name, old[key], new[key])


def _family_changes(before: Analysed, after: Analysed) -> Iterator[Change]:
    """Per transport and family over all sockets, where there are several: together they may show what one does not."""
    old, new = _families(before), _families(after)
    for key in sorted(old.keys() & new.keys()):
        if old[key][2] > 1 or new[key][2] > 1:
            name = f"all {key[0]} sockets over {FAMILIES.get(key[1], key[1])}"
            yield from _counts_change("family", name, old[key][:2], new[key][:2])


def _families(analysis: Analysed) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(answered, judged, sockets) by transport and family."""
    totals: dict[tuple[str, str], tuple[int, int, int]] = {}
    for line in _lines(analysis).values():
        answered, judged, sockets = totals.get((line.transport, line.family), (0, 0, 0))
        totals[line.transport, line.family] = answered + line.answered, judged + line.judged, sockets + 1
    return totals


def _share_change(what: str, name: str, old: SocketLine, new: SocketLine) -> Iterator[Change]:
    yield from _counts_change(what, name, (old.answered, old.judged), (new.answered, new.judged))


def _counts_change(what: str, name: str, old: tuple[int, int], new: tuple[int, int]) -> Iterator[Change]:
    if not old[1] or not new[1] or old[0] * new[1] == new[0] * old[1]:
        return
    (low, high), (new_low, new_high) = interval(*old), interval(*new)
    sentence = f"{name}: answered {_rate(*old)} before, {_rate(*new)} after"
    if new_high < low:
        yield Change(WORSE, what, sentence)
    elif new_low > high:
        yield Change(BETTER, what, sentence)
    else:
        yield Change(OTHER, what, f"{sentence}; too few to tell from chance")


def _latency_change(name: str, old: SocketLine, new: SocketLine) -> Iterator[Change]:
    if min(old.answered, new.answered) < FEWEST_REPLIES or not old.median_reply_s > 0 or not new.median_reply_s > 0:
        return
    factor = new.median_reply_s / old.median_reply_s
    if max(factor, 1 / factor) >= LATENCY_FACTOR:
        times = f"{seconds(old.median_reply_s)} before, {seconds(new.median_reply_s)} after"
        yield Change(OTHER, "socket", f"{name}: median reply {times}")


def _finding_changes(before: Analysed, after: Analysed) -> Iterator[Change]:
    old, new = _findings(before), _findings(after)
    for key in sorted(old.keys() | new.keys()):
        finding = new.get(key) or old[key]
        is_fault = finding["severity"] in ("error", "warning") and not finding.get("accepted")
        words = f"{finding['severity']} {finding['pattern']}: {finding['title']}"
        if key not in old:
            yield Change(WORSE if is_fault else OTHER, "finding", f"appeared: {words}; {_affected(finding)}")
        elif key not in new:
            yield Change(BETTER if is_fault else OTHER, "finding", f"vanished: {words}; before {_affected(finding)}")
        elif _affected(old[key]) != _affected(new[key]):
            change = f"{_affected(old[key])} before, {_affected(new[key])} after"
            yield Change(OTHER, "finding", f"still there: {words}; {change}")


def _findings(analysis: Analysed) -> dict[FindingKey, Finding]:
    found: dict[FindingKey, Finding] = {}
    for finding in analysis.document["findings"]:
        server = finding.get("server") or {}
        port = server.get("port")
        key = (
            finding["pattern"],
            finding.get("transport") or "",
            finding.get("family") or "",
            server.get("address") or "",
            -1 if port is None else port,
        )
        found.setdefault(key, finding)
    return found


def _affected(finding: Finding) -> str:
    counts = finding["counts"]
    if not counts["attempts"]:
        return counted(counts["records"], "record")
    return f"{_rate(counts['affected'], counts['attempts'])} attempts affected"


def _rate(count: int, total: int) -> str:
    """``5 of 5 (57–100 %)``"""
    low, high = interval(count, total)
    return f"{count:,} of {total:,} ({100 * low:.0f}–{100 * high:.0f} %)"


def _share(line: SocketLine) -> str:
    return f"answered {_rate(line.answered, line.judged)}" if line.judged else "no attempt that can be judged"
