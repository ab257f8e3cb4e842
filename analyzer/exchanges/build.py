"""A settled scan and the facts of its captures to the tables that patterns and users see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer.capture.link_types import link_type_name
from analyzer.capture.records import CaptureFacts
from analyzer.columns import Table
from analyzer.events import flows as fl
from analyzer.events.connection import Flows
from analyzer.events.conversations import Conversations, conversations
from analyzer.events.fragments import FLAW_WORDS
from analyzer.events.scan import LEDGER, Scan
from analyzer.exchanges.connections import MOST_RECORDS, Judge, connections_table
from analyzer.exchanges.exchanges import exchanges_table
from analyzer.exchanges.hosts import Hosts
from analyzer.exchanges.packets import packets_table
from analyzer.exchanges.resolutions import resolutions_table
from analyzer.exchanges.sockets import sockets_table
from analyzer.exchanges.stories.table import stories_table
from analyzer.exchanges.vantage import Vantage, pieces_of, vantage_of
from analyzer.exchanges.view import CaptureView, View
from analyzer.wire.keylog import NO_SECRETS, KeyLog, merged, read_keylog
from analyzer.wire.links import READ_LINK_TYPES
from analyzer.wire.packets import TCP, UDP

#: Payload that fits no Ethernet frame of 1,500 bytes, even without IP options: offload, or a larger MTU.
LARGEST_PAYLOAD = 1500

#: Records of several interfaces or processors are written up to so late; a clock that is set back moves further.
READ_APART_NS = 1_000_000_000


@dataclass(frozen=True)
class Exchanges:
    """The tables of an analysis; ``packets`` is made when asked for."""

    view: View
    judge: Judge
    scan: Scan  # settled, as it was given

    def packets(self) -> Table:
        """The selected packets, one row each."""
        return packets_table(self.judge)


@dataclass(frozen=True, slots=True)
class Given:
    """What the user knows beside the captures: vantages by base name or path, and the secrets of a key log."""

    vantages: Mapping[str, str] = field(default_factory=dict)
    secrets: KeyLog = NO_SECRETS


def exchanges(scan: Scan, facts: Sequence[CaptureFacts], given: Given) -> Exchanges:
    """All tables of a settled scan."""
    found = conversations(scan)
    secrets = merged([given.secrets, *(read_keylog(block) for f in facts for block in f.secrets)])
    if secrets.secrets:
        from analyzer.events.secrets import open_with_secrets

        open_with_secrets(found.flows, found.connections, secrets)
    hosts = Hosts(found.flows, found.connections, found.lookups)
    judge = Judge(found, hosts, max((f.last_time for f in facts), default=-1))
    connections = connections_table(judge)
    requests = exchanges_table(judge, found, connections)
    view = View(
        connections=connections,
        exchanges=requests,
        sockets=sockets_table(connections, requests),
        hosts=hosts.table(),
        resolutions=resolutions_table(judge, found),
        stories=stories_table(judge),
        captures=tuple(
            _capture_view(found.flows, index, f, _vantage(scan, found, index, facts, given.vantages))
            for index, f in enumerate(facts)
        ),
    )
    return Exchanges(view, judge, scan)


def _capture_view(flows: Flows, index: int, facts: CaptureFacts, vantage: Vantage) -> CaptureView:
    """What one capture could have shown."""
    scan = flows.scan
    ledger = dict(zip(LEDGER, scan.ledger[index].tolist(), strict=True)) | {"cut": int(bool(facts.cut))}
    unread = [link_type_name(number) for number in facts.link_types if number not in READ_LINK_TYPES]
    warnings = list(facts.warnings)
    if ledger["unread_link_type"]:
        count = ledger["unread_link_type"]
        warnings.append(f"{facts.name}: {count} records of link type {', '.join(unread)}, which is not read here")
    pieces = Counter(word for row, word in flows.fragments.flaw.items() if scan.rows.capture[row] == index)
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
        backward_records=_records(scan, index, _is_backward(scan, index)),
        large_records=_records(scan, index, scan.rows.payload_length > LARGEST_PAYLOAD),
        largest_payload=int(scan.rows.payload_length[scan.rows.capture == index].max(initial=0)),
        dropped=sum(max(interface.dropped, 0) for interface in facts.interfaces),
        vantage=vantage.word,
        vantage_reason=vantage.reason,
    )


def _vantage(
    scan: Scan, found: Conversations, index: int, facts: Sequence[CaptureFacts], given: Mapping[str, str]
) -> Vantage:
    """The vantage that was given for a capture, else the one that its handshakes show."""
    if word := given.get(facts[index].path) or given.get(facts[index].name):
        return Vantage(word, "given")
    spans = [(each.first_time, each.last_time) for each in facts]
    return vantage_of(found.connections, scan.rows, pieces_of(spans, index))


def _is_backward(scan: Scan, index: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows of a capture that are older than an earlier one by more than interfaces are read apart."""
    mine = np.flatnonzero((scan.rows.capture == index) & (scan.rows.time >= 0))
    mine = mine[np.argsort(scan.rows.record[mine], kind="stable")]
    newest = np.maximum.accumulate(scan.rows.time[mine]) if len(mine) else scan.rows.time[mine]
    backward = np.zeros(len(scan.rows.time), np.bool_)
    backward[mine] = newest - scan.rows.time[mine] > READ_APART_NS
    return backward


def _needed_and_cut(scan: Scan) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows whose payload later rooms read and of which bytes are missing: Initials, first payloads, DNS."""
    rows = scan.rows
    wanted = np.minimum(rows.payload_length, fl.PAYLOAD_KEPT)
    read_whole = (rows.reason & fl.WHOLE > 0) & ((rows.kind == UDP) | (rows.kind == TCP))
    is_cut = rows.captured_length < rows.original_length
    missing: np.ndarray[tuple[int], np.dtype[np.bool_]] = read_whole & is_cut & (rows.payload_captured < wanted)
    return missing


def _records(scan: Scan, index: int, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[tuple[int, int], ...]:
    """(capture, record) of the chosen rows of one capture, the first ``MOST_RECORDS``."""
    rows = np.flatnonzero(chosen & (scan.rows.capture == index))[:MOST_RECORDS]
    return tuple((index, record) for record in scan.rows.record[rows].tolist())
