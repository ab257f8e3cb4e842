"""A settled scan and the facts of its captures to the tables that patterns and users see."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from analyzer.capture.link_types import link_type_name
from analyzer.capture.records import CaptureFacts
from analyzer.columns import Table
from analyzer.events import flows as fl
from analyzer.events.connection import Flows
from analyzer.events.conversations import Conversations, conversations
from analyzer.events.fragments import FLAW_WORDS
from analyzer.events.requests.reader import MOST_REQUESTS
from analyzer.events.scan import LEDGER, Scan
from analyzer.events.selected import each_column
from analyzer.exchanges.attributes import Attributes
from analyzer.exchanges.connections import MOST_RECORDS, Judge, connections_table
from analyzer.exchanges.ends.places import Place
from analyzer.exchanges.exchanges import exchanges_table
from analyzer.exchanges.hosts import Hosts
from analyzer.exchanges.packets import packets_table
from analyzer.exchanges.resolutions import resolutions_table
from analyzer.exchanges.sockets import sockets_table
from analyzer.exchanges.stories.table import stories_table
from analyzer.exchanges.vantage import UNKNOWN, Handshakes, Vantage, pieces_of
from analyzer.exchanges.view import CaptureView, View
from analyzer.wire.checksums import transport_checksum_partial
from analyzer.wire.keylog import NO_SECRETS, KeyLog, merged, read_keylog
from analyzer.wire.links import READ_LINK_TYPES
from analyzer.wire.packets import TCP, UDP

#: Payload that fits no Ethernet frame of 1,500 bytes, even without IP options: offload, or a larger MTU.
LARGEST_PAYLOAD = 1500

#: Linux cooked captures, v1 and v2: those of all interfaces.
COOKED = {113, 276}

#: Whether interfaces compute checksums shows in the first packets that a host sends.
CHECKSUMS_READ = 200

#: Records of several interfaces or processors are written up to so late; a clock that is set back moves further.
READ_APART_NS = 1_000_000_000
#: Spans without a selected record from that length on are told to patterns, which may doubt the clock.
GAP_NS = 10_000_000_000


class Found(Protocol):
    """What was found in captures: fresh (``Exchanges``), read back, or with other names."""

    @property
    def view(self) -> View: ...
    @property
    def judges(self) -> tuple[Judge, ...]: ...
    @property
    def scan(self) -> Scan: ...
    def packets(self) -> Table: ...


@dataclass(frozen=True)
class Exchanges:
    """The tables of an analysis; ``packets`` is made when asked for. There is a judge for each place."""

    view: View
    judges: tuple[Judge, ...]
    scan: Scan  # settled, of all captures together

    def packets(self) -> Table:
        """The selected packets, one row each."""
        tables = [packets_table(judge) for judge in self.judges]
        if self.view.ends is None:
            return tables[0]
        from analyzer.exchanges.ends.join import joined_packets

        return joined_packets(tables, self.view.ends)


@dataclass(frozen=True, slots=True)
class Given:
    """What the user knows beside the captures: vantages by base name or path, and the secrets of a key log."""

    vantages: Mapping[str, str] = field(default_factory=dict)
    secrets: KeyLog = NO_SECRETS


def exchanges(scan: Scan, facts: Sequence[CaptureFacts], given: Given) -> Exchanges:
    """All tables of a settled scan of captures that were made at one place."""
    return exchanges_of_places([(Place(tuple(range(len(facts)))), scan)], facts, given, together=scan)


def exchanges_of_places(
    scans: Sequence[tuple[Place, Scan]], facts: Sequence[CaptureFacts], given: Given, *, together: Scan
) -> Exchanges:
    """All tables of one settled scan per place, the one nearest the client first; times are in that one's clock."""
    secrets = merged([given.secrets, *(read_keylog(block) for f in facts for block in f.secrets)])
    found = [_conversations(scan, secrets) for _, scan in scans]
    places = [place for place, _ in scans]
    judges = [_judge(each, place, facts) for each, place in zip(found, places, strict=True)]
    views = [_view(*each, facts, given) for each in zip(judges, found, places, strict=True)]
    if len(views) == 1 and not _shows_interfaces(scans[0][1], facts):
        return Exchanges(views[0], tuple(judges), together)
    from analyzer.exchanges.ends.join import joined

    return Exchanges(joined(views, judges, places), tuple(judges), together)


def _conversations(scan: Scan, secrets: KeyLog) -> Conversations:
    found = conversations(scan)
    if secrets.secrets:
        from analyzer.events.secrets import open_with_secrets

        return replace(found, connections=open_with_secrets(found.flows, found.connections, secrets))
    return found


def _judge(found: Conversations, place: Place, facts: Sequence[CaptureFacts]) -> Judge:
    attributes = Attributes(found.flows, found.connections)
    hosts = Hosts(attributes, found.lookups)
    end = max((facts[index].last_time for index in place.captures), default=-1)
    return Judge(attributes, hosts, end - place.ahead if end >= 0 else end)


def _view(judge: Judge, found: Conversations, place: Place, facts: Sequence[CaptureFacts], given: Given) -> View:
    """The tables of one place."""
    connections = connections_table(judge)
    requests = exchanges_table(judge, found, connections)
    unread = judge.requests.unread
    beyond = (
        (f"{unread:,} connections were not read for requests: there are more than {MOST_REQUESTS:,}",) if unread else ()
    )
    return View(
        connections=connections,
        exchanges=requests,
        sockets=sockets_table(connections, requests),
        hosts=judge.hosts.table(),
        resolutions=resolutions_table(judge, found),
        stories=stories_table(judge),
        captures=tuple(
            replace(
                view,
                clock=place.ahead,
                clock_within=place.within,
                warnings=(*view.warnings, *(f"{view.name}: {words}" for words in beyond)),
            )
            for index, vantage in _vantages(judge, place, facts, given.vantages)
            for view in [_capture_view(found.flows, index, facts[index], vantage)]
        ),
    )


def _shows_interfaces(scan: Scan, facts: Sequence[CaptureFacts]) -> bool:
    """Whether packets may be in the captures of one place on several interfaces, or before and after a translation."""
    several = any(len(each.interfaces) > 1 or COOKED & set(each.link_types) for each in facts)
    return several or bool(scan.ledger[:, LEDGER.index("duplicates")].any())


def _capture_view(flows: Flows, index: int, facts: CaptureFacts, vantage: Vantage) -> CaptureView:
    """What one capture could have shown."""
    scan = _of_capture(flows.scan, index)
    ledger = dict(zip(LEDGER, scan.ledger[index].tolist(), strict=True)) | {"cut": int(bool(facts.cut))}
    unread = [link_type_name(number) for number in facts.link_types if number not in READ_LINK_TYPES]
    warnings = list(facts.warnings)
    if ledger["unread_link_type"]:
        count = ledger["unread_link_type"]
        warnings.append(f"{facts.name}: {count} records of link type {', '.join(unread)}, which is not read here")
    if ledger["summarized_connections"]:
        warnings.append(
            f"{facts.name}: {ledger['summarized_connections']:,} connections with {ledger['summarized_records']:,} "
            "records are in no table: they were the oldest when no more was to be remembered, and are only counted "
            "(--max-memory says how much that is)"
        )
    capture_of = flows.scan.rows.capture
    pieces = Counter(word for row, word in flows.fragments.flaw.items() if capture_of[row] == index)
    for word, count in sorted(pieces.items()):
        what = "IP fragment" if count == 1 else "IP fragments"
        warnings.append(f"{facts.name}: {count} {what} could not be put together ({word}): {FLAW_WORDS[word]}")
    return CaptureView(
        index=index,
        name=facts.name,
        format=facts.format,
        link_types=tuple(link_type_name(number) for number in facts.link_types),
        records=facts.records,
        first_time=facts.first_time,
        last_time=facts.last_time,
        snaplen=facts.snaplen,
        cut=facts.cut,
        ledger=ledger,
        warnings=tuple(warnings),
        cut_records=_records(scan, index, _needed_and_cut(scan)),
        duplicate_records=_records(scan, index, scan.rows.reason & fl.IS_DUPLICATE > 0),
        unread_link_types=tuple(unread) if ledger["unread_link_type"] else (),
        backward_records=_records(scan, index, _is_backward(scan)),
        gaps=_gaps(scan),
        large_records=_records(scan, index, scan.rows.payload_length > LARGEST_PAYLOAD),
        largest_payload=int(scan.rows.payload_length.max(initial=0)),
        partial_records=_records(scan, index, _has_partial_checksum(scan)),
        dropped=sum(max(interface.dropped, 0) for interface in facts.interfaces),
        vantage=vantage.word,
        vantage_reason=vantage.reason,
    )


def _of_capture(scan: Scan, index: int) -> Scan:
    """The scan with the rows of one of its captures alone."""
    mine = np.flatnonzero(scan.rows.capture == index)
    if len(mine) == len(scan.rows.time):
        return scan
    rows = each_column(lambda column: column[mine], scan.rows)
    return replace(scan, rows=rows, chunk=scan.chunk[mine])


def _vantages(
    judge: Judge, place: Place, facts: Sequence[CaptureFacts], given: Mapping[str, str]
) -> Iterator[tuple[int, Vantage]]:
    """Of each capture the vantage that was given, else the one that its handshakes show, else that of its place."""
    shown = functools.cache(Handshakes(judge.attributes).vantage)
    spans = {each: (facts[each].first_time, facts[each].last_time) for each in place.captures}
    pieces = pieces_of(spans)
    for index in place.captures:
        if word := given.get(facts[index].path) or given.get(facts[index].name):
            yield index, Vantage(word, "given")
            continue
        seen = shown(pieces or frozenset((index,)))
        yield index, Vantage(*place.relative) if seen.word == UNKNOWN.word and place.relative else seen


def _is_backward(scan: Scan) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows of a capture that are older than an earlier one by more than interfaces are read apart."""
    mine = np.flatnonzero(scan.rows.time >= 0)
    mine = mine[np.argsort(scan.rows.record[mine], kind="stable")]
    newest = np.maximum.accumulate(scan.rows.time[mine]) if len(mine) else scan.rows.time[mine]
    backward = np.zeros(len(scan.rows.time), np.bool_)
    backward[mine] = newest - scan.rows.time[mine] > READ_APART_NS
    return backward


def _gaps(scan: Scan) -> tuple[tuple[int, int, int, int], ...]:
    """The longest spans of a capture without a selected record, in order of time, as ``CaptureView.gaps``."""
    mine = np.flatnonzero(scan.rows.time >= 0)
    mine = mine[np.argsort(scan.rows.time[mine], kind="stable")]
    times, records = scan.rows.time[mine], scan.rows.record[mine]
    lengths = np.diff(times)
    long = np.flatnonzero(lengths >= GAP_NS)
    long = np.sort(long[np.argsort(-lengths[long], kind="stable")[:MOST_RECORDS]])
    bounds = (times[long], times[long + 1], records[long], records[long + 1])
    return tuple(zip(*(each.tolist() for each in bounds), strict=True))


def _needed_and_cut(scan: Scan) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows whose payload later rooms read and of which bytes are missing: Initials, first payloads, DNS."""
    rows = scan.rows
    wanted = np.minimum(rows.payload_length, fl.PAYLOAD_KEPT)
    read_whole = (rows.reason & fl.WHOLE > 0) & ((rows.kind == UDP) | (rows.kind == TCP))
    is_cut = rows.captured_length < rows.original_length
    missing: np.ndarray[tuple[int], np.dtype[np.bool_]] = read_whole & is_cut & (rows.payload_captured < wanted)
    return missing


def _has_partial_checksum(scan: Scan) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows among the first ``CHECKSUMS_READ`` of a capture's TCP and UDP whose checksum an interface would complete."""
    rows = scan.rows
    whole = (rows.kept > 0) & (rows.payload_captured == rows.payload_length) & (rows.fragment == 0)
    chosen = np.flatnonzero(((rows.kind == TCP) | (rows.kind == UDP)) & whole)
    partial = np.zeros(len(rows.time), np.bool_)
    for row in chosen[:CHECKSUMS_READ].tolist():
        partial[row] = transport_checksum_partial(scan.row_bytes(row))
    return partial


def _records(scan: Scan, index: int, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[tuple[int, int], ...]:
    """(capture, record) of the chosen rows of capture ``index``, the first ``MOST_RECORDS``."""
    rows = np.flatnonzero(chosen)[:MOST_RECORDS]
    return tuple((index, record) for record in scan.rows.record[rows].tolist())
