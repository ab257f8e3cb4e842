"""What every report says, before it is put in form: the verdict, the sockets side by side, what was read.

The doors (terminal, Markdown, HTML, plots) differ in form only; a number or a sentence that two of them show is
made here. Nothing here is escaped yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from analyzer.columns import Table
from analyzer.patterns.words import FAMILIES, counted, listed, socket_words
from analyzer.reports.text import ranges
from analyzer.reports.tree import Finding as Finding
from analyzer.reports.tree import tree

if TYPE_CHECKING:
    from analyzer.anonymize.anonymizer import Anonymizer

SocketKey = tuple[str, str, str, int]  # transport, family, address, port

OUTCOMES = ("answered", "refused", "silent", "undetermined")

#: Counts of the ledger in words, in the order in which they are printed.
LEDGER = {
    "decoded": "decoded",
    "not_ip": "not IP",
    "fragments": "later fragments",
    "duplicates": "captured twice",
    "truncated": "cut by the snapshot length",
    "flawed": "damaged",
    "unread_link_type": "of a link type that is not read",
    "summarized_records": "of the oldest connections, which were only counted",
}


class Analysed(Protocol):
    """What a report needs of an analysis: the document of ``report.json``, the tables, and where the records lie.

    ``paths`` are the capture files by index; ``position`` is where a record lies in its decompressed file.
    """

    @property
    def document(self) -> dict[str, Any]: ...
    @property
    def connections(self) -> Table: ...
    @property
    def exchanges(self) -> Table: ...
    @property
    def sockets(self) -> Table: ...
    @property
    def packets(self) -> Table: ...
    @property
    def findings(self) -> Table: ...
    @property
    def resolutions(self) -> Table: ...
    @property
    def hosts(self) -> Table: ...
    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def anonymizer(self) -> Anonymizer | None: ...
    def position(self, capture: int, record: int) -> tuple[int, int, int] | None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in a word and a sentence. ``level`` is error, warning, good or unknown."""

    level: str
    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class SocketLine:
    """One server socket and family. Times in ns (-1 none), ``median_reply_s`` NaN where nothing was answered."""

    name: str
    transport: str
    family: str
    address: str
    port: int
    attempts: int
    answered: int
    refused: int
    silent: int
    undetermined: int
    median_reply_s: float
    onset: int

    @property
    def judged(self) -> int:
        """Attempts whose outcome the capture shows."""
        return self.attempts - self.undetermined

    @property
    def status(self) -> str:
        """One word, or two: answered, fell silent, part answered, silent, refused, unanswered, undetermined."""
        if self.judged <= 0:
            return "undetermined"
        if self.answered:
            if self.onset != -1:
                return "fell silent"
            return "answered" if self.answered == self.judged else "part answered"
        if self.silent == self.judged:
            return "silent"
        return "refused" if self.refused == self.judged else "unanswered"

    @property
    def failed_share(self) -> float:
        """(silent + refused) / judged, 0 where nothing could be judged."""
        return (self.silent + self.refused) / self.judged if self.judged > 0 else 0.0

    @property
    def key(self) -> SocketKey:
        """What tells it from the other sockets."""
        return self.transport, self.family, self.address, self.port

    @property
    def text(self) -> str:
        """``192.0.2.80:443``"""
        return socket_words(self.address, self.port)

    @property
    def words(self) -> str:
        """``udp 192.0.2.80:443 over IPv4``"""
        return f"{self.transport} {self.text} over {FAMILIES.get(self.family, self.family)}"


@dataclass(frozen=True, slots=True)
class SocketGroup:
    """The sockets of one name, transport and port: families side by side. ``name`` may be empty."""

    name: str
    transport: str
    port: int
    lines: tuple[SocketLine, ...]

    @property
    def title(self) -> str:
        """``example.com udp/443``"""
        return " ".join(filter(None, [self.name, f"{self.transport}/{self.port}"]))


def cited_connections(findings: Iterable[Finding]) -> set[str]:
    """The names of the connections that these findings name."""
    return {name for finding in findings for name in finding.get("connections") or []}


def socket_groups(analysis: Analysed) -> list[SocketGroup]:
    """Server sockets by host, transport and port, those with the largest failing share first."""
    names, linked = _names(analysis.connections), _linked_hosts(analysis.hosts)
    groups: dict[tuple[str, str, int], list[SocketLine]] = {}
    for row in analysis.sockets.rows():
        name = names.get((row["address"], row["port"]), "")
        line = SocketLine(
            name=name,
            **{key: row[key] for key in ("transport", "family", "address", "port", "median_reply_s", "onset")},
            **{key: row[key] for key in ("attempts", *OUTCOMES)},
        )
        # Without a name or a common link address nothing says that two addresses are one server.
        host = name or linked.get(row["address"]) or row["address"]
        groups.setdefault((host, row["transport"], row["port"]), []).append(line)
    made = [
        SocketGroup(lines[0].name, transport, port, tuple(sorted(lines, key=_failing_first)))
        for (_, transport, port), lines in groups.items()
    ]
    return sorted(made, key=_worst_first)


def first_sockets(groups: Sequence[SocketGroup], most: int) -> tuple[list[SocketGroup], int]:
    """The groups with no more than ``most`` sockets in all, and how many sockets are left out."""
    shown: list[SocketGroup] = []
    room = most
    for group in groups:
        if room <= 0:
            break
        shown.append(replace(group, lines=group.lines[:room]))
        room -= len(group.lines)
    return shown, sum(len(group.lines) for group in groups) - sum(len(group.lines) for group in shown)


def _failing_first(line: SocketLine) -> tuple[float, str, str]:
    return -line.failed_share, line.family, line.address


def _worst_first(group: SocketGroup) -> tuple[float, int, int, str, int, str]:
    share = max(line.failed_share for line in group.lines)
    failed = sum(line.silent + line.refused for line in group.lines)
    attempts = sum(line.attempts for line in group.lines)
    return -share, -failed, -attempts, group.name or group.lines[0].address, group.port, group.transport


def _linked_hosts(hosts: Table) -> dict[str, str]:
    """The host of each address whose link address is known to be its own."""
    columns = (hosts[name].tolist() for name in ("address", "host", "host_reason"))
    return {address: host for address, host, reason in zip(*columns, strict=True) if reason == "link-address"}


def _names(connections: Table) -> dict[tuple[str, int], str]:
    """The server name offered most often per server address and port, the first in the alphabet where equal."""
    asked: dict[tuple[str, int], Counter[str]] = {}
    columns = (connections[name].tolist() for name in ("server_address", "server_port", "sni"))
    for address, port, name in zip(*columns, strict=True):
        if name:
            names = asked.get((address, port))
            if names is None:
                names = asked[address, port] = Counter()
            names[name] += 1
    return {socket: min(names, key=lambda name: (-names[name], name)) for socket, names in asked.items()}


def totals(groups: Sequence[SocketGroup]) -> Counter[str]:
    """Attempts and outcomes over all sockets, and the number of ``sockets``."""
    total: Counter[str] = Counter()
    for line in (line for group in groups for line in group.lines):
        total["sockets"] += 1
        for key in ("attempts", *OUTCOMES):
            total[key] += getattr(line, key)
    return total


def verdict_of(analysis: Analysed, groups: Sequence[SocketGroup]) -> Verdict:
    """The first thing to read: the gravest finding, or what was looked at and found in order."""
    total = totals(groups)
    judged = total["attempts"] - total["undetermined"]
    for branch in tree(analysis.document["findings"]):
        if branch.finding["severity"] in ("error", "warning") and not branch.finding.get("accepted"):
            word = "Fault found" if branch.finding["severity"] == "error" else "Warning"
            return Verdict(branch.finding["severity"], word, branch.finding["title"])
    if not total["attempts"]:
        records = sum(capture.get("records") or 0 for capture in analysis.document["captures"])
        return Verdict("unknown", "Nothing to judge", f"no connection attempt in {counted(records, 'record')}")
    if not judged:
        return Verdict("unknown", "Cannot tell", f"the capture shows the outcome of none of {_attempts(total)}")
    sentence = f"{total['answered']:,} of {counted(judged, 'attempt')} on {_sockets(total)} were answered"
    if total["undetermined"]:
        sentence += f"; {total['undetermined']:,} more cannot be judged from this capture"
    failed = [f"{total[key]:,} {key}" for key in ("silent", "refused") if total[key]]
    accepted = sum(bool(finding.get("accepted")) for finding in analysis.document["findings"])
    if accepted:
        told = f"; {counted(accepted, 'finding')} accepted"
        return Verdict("unknown", "No new fault", ", ".join([sentence, *failed]) + told)
    if failed:
        return Verdict("unknown", "No fault found", f"{sentence}, {listed(failed)}")
    return Verdict("good", "No silent sockets seen", sentence)


def _attempts(total: Mapping[str, int]) -> str:
    return counted(total["attempts"], "attempt")


def _sockets(total: Mapping[str, int]) -> str:
    return counted(total["sockets"], "server socket")


def severity_counts(findings: Sequence[Finding]) -> str:
    """``2 errors, 1 warning and 1 accepted``; parts count too."""
    count = Counter("accepted" if finding.get("accepted") else finding["severity"] for finding in findings)
    words = {"error": "error", "warning": "warning", "info": "note"}
    told = [counted(count[severity], word) for severity, word in words.items() if count[severity]]
    return listed([*told, f"{count['accepted']:,} accepted"] if count["accepted"] else told, most=4)


def cited_records(finding: Finding, captures: Sequence[Mapping[str, Any]], *, most: int) -> str:
    """``7–11, 22 (6 records)``, with the capture's name where there are several; ``most`` ranges are written out."""
    by_capture: dict[int, list[int]] = {}
    for capture, record in finding.get("records") or []:
        by_capture.setdefault(capture, []).append(record)
    written = []
    for capture, records in sorted(by_capture.items()):
        runs = ranges(records)
        name = f"{captures[capture]['name']}: " if len(captures) > 1 and capture < len(captures) else ""
        written.append(name + ", ".join(runs[:most]) + (", …" if len(runs) > most else ""))
    cited = sum(len(records) for records in by_capture.values())
    total = max((finding.get("counts") or {}).get("records") or 0, cited)
    return "; ".join(written) + f" ({counted(total, 'record')})" if written else ""


def since(finding: Finding) -> str:
    """When it began, or from when to when it was seen."""
    if finding.get("onset"):
        bounds = finding.get("onset_bounds")
        between = f" (last good {bounds[0]}, first bad {bounds[1]})" if bounds else ""
        return f"{finding['onset']}{between}"
    return " to ".join(dict.fromkeys(filter(None, [finding.get("first_time"), finding.get("last_time")])))


def ledger_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Per capture what was read of it: name, format, records and what became of them, time span, vantage.

    Last what a filter left, which is applied after the records were counted.
    """
    for capture in document["captures"]:
        ledger = capture.get("ledger") or {}
        records = ledger.get("records", capture.get("records")) or 0
        counts = [f"{ledger[key]:,} {word}" for key, word in LEDGER.items() if ledger.get(key)]
        line = f"{capture['name']} ({capture.get('format') or 'unknown format'}): {counted(records, 'record')}"
        line += f": {', '.join(counts)}" if counts else ""
        if capture.get("first_time"):
            line += f"; {capture['first_time']} to {capture['last_time']}"
        yield line
        cut = ledger.get("cut")
        if cut:
            yield f"{capture['name']}: " + (cut if isinstance(cut, str) else "the last record is cut")
        if capture.get("vantage") and capture["vantage"] != "unknown":
            reason = f" ({capture['vantage_reason']})" if capture.get("vantage_reason") else ""
            yield f"{capture['name']}: recorded at the {capture['vantage']}{reason}"
    if left := document.get("filter"):
        of = counted(left["of"], "connection")
        yield f"filter {left['expression']}: {left['connections']:,} of {of} looked at; the counts above are of all"
    if anonymized := document.get("anonymized"):
        yield _anonymized(anonymized)


def _anonymized(anonymized: Mapping[str, Any]) -> str:
    """What the reader of an anonymised report may rely on, and what of the evidence is missing."""
    line = "anonymised: names and addresses are others; ports, sizes and times are those of the capture"
    if not (evidence := anonymized.get("evidence")):
        return line
    dropped = sum(evidence["dropped"].values())
    return (
        f"{line}; of the evidence, {counted(evidence['cut'], 'record')} cut and "
        f"{counted(dropped, 'record')} dropped that could not be made safe"
    )


def cannot_show(analysis: Analysed) -> list[str]:
    """What the capture leaves open: notes on the capture, limits of the findings, attempts without a judgement."""
    findings = analysis.document["findings"]
    notes = [f["because"] for f in findings if f["pattern"].startswith("capture-")]
    limits = [limit for f in findings for limit in f.get("limitations") or []]
    names = ("outcome", "outcome_reason")
    pairs = zip(*(analysis.connections[name].tolist() for name in names), strict=True)
    reasons = Counter(reason or "no reason" for outcome, reason in pairs if outcome == "undetermined")
    open_ = [f"{counted(n, 'attempt')} without a judgement: {reason}" for reason, n in sorted(reasons.items())]
    oldest = sum(capture["ledger"].get("summarized_connections", 0) for capture in analysis.document["captures"])
    gone = (
        f"{counted(oldest, 'connection')}, the oldest, were only counted: whether they were answered, and whether a "
        "fault began among them"
    )
    return list(dict.fromkeys([*([gone] if oldest else []), *notes, *open_, *limits]))


def share_text(line: SocketLine) -> str:
    """``5 of 5 answered``; what cannot be judged is left out of both numbers."""
    return f"{line.answered:,} of {line.judged:,} answered"
