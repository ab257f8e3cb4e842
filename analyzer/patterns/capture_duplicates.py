"""Packets are in the captures more than once: on several interfaces, or in captures of several places.

What it sees
    Records that repeat a packet already seen: taken on several interfaces (`-i any`, a bridge and its ports), by a SPAN
    port in both directions, or before and after NAT; and captures of the same minutes made at two or more places.

Why it matters
    Counted twice, a copy looks like a retransmission or a repeated request. A connection that was seen more than once
    is counted once, as the place nearest the client saw it, and its copies are left out of all counts. Captures of two
    places say between which of them a packet vanished.

How it decides
    Two records within a short time whose bytes are equal but for what changes on the way (TTL, checksums, addresses
    translated). A QUIC packet that is sent again has a new packet number, a TCP segment a new IP id: no copies.
    Captures are of two places where they overlap in time and have such packets in common. The difference of their
    clocks is half of what the ways there and back seem to differ by; it is taken out of all times.

What it cannot know
    Whether a network device duplicated the packet for real; that is rare, and the copies then differ in TTL or timing.
    How much longer one way is than the way back: half of the difference goes into the clock.

Look-alikes
    Retransmissions and repeated requests, which are told apart as said above.

What to do
    Nothing, or capture on one interface (`tcpdump -i eth0`); `editcap -d` removes exact copies.

Seen in the wild
    `tcpdump -i any` on a Docker or Kubernetes host: a packet passes the physical interface, the bridge and the veth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from analyzer.exchanges.ends.sightings import Ends
from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.capture_findings import finding_about
from analyzer.patterns.finding import INFO, LIKELY, Argument, Finding, Pattern
from analyzer.patterns.places import clock_words, names_of, translation_words
from analyzer.patterns.words import counted, frames_filter, sentence

PATTERN = Pattern(
    "capture-duplicates",
    INFO,
    "the capture holds the same packets more than once",
    ("wiki.wireshark.org/DuplicatePackets", "wiki.wireshark.org/SLL"),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each capture with copies of packets, and one for each place beside the one nearest the client."""
    for capture in view.captures:
        twice = _seen_twice(view.ends, capture.index)
        if capture.ledger.get("duplicates", 0) > 0 or twice:
            is_merged = view.ends is None and _overlaps(view, capture)
            records = [(capture.index, record) for record in twice] if twice else list(capture.duplicate_records)
            argument = _views(capture) if is_merged else _copies(capture, len(twice), view)
            yield _about(capture, argument, records)
    if view.ends is not None:
        for place in range(1, len(view.ends.places)):
            yield _at_another_place(view, view.ends, place)


def _about(capture: CaptureView, argument: Argument, records: list[tuple[int, int]]) -> Finding:
    numbers = [record for index, record in records if index == capture.index]
    shown = frames_filter(numbers, f"frame.number >= {numbers[0] if numbers else 1}")
    return finding_about(PATTERN, capture, argument=argument, records=records, display_filter=shown)


def _seen_twice(ends: Ends | None, capture: int) -> list[int]:
    """First records of the further views of connections that were seen more than once at the place of a capture."""
    if ends is None:
        return []
    records = []
    for rows in ends.seen.values():
        for before, after in itertools.pairwise(rows):
            table = ends.views[after.place].connections
            if before.place == after.place and table["capture"][after.row] == capture:
                records.append(int(table["first_record"][after.row]))
    return sorted(records)


def _overlaps(view: View, capture: CaptureView) -> bool:
    """Whether another capture shows the same minutes: a copy may then be that one's view of the packet."""
    return any(
        other.index != capture.index and other.first_time <= capture.last_time and capture.first_time <= other.last_time
        for other in view.captures
        if min(other.first_time, capture.first_time) >= 0
    )


def _at_another_place(view: View, ends: Ends, place: int) -> Finding:
    """What a place has in common with the one nearest the client, and how its clock stands."""
    names, reference = names_of(view, place), names_of(view, 0)
    capture = next(each for each in view.captures if each.index == ends.places[place].captures[0])
    of_both = [rows for rows in ends.seen.values() if {0, place} <= {where.place for where in rows}]
    alone = sum(1 for rows in ends.seen.values() if {where.place for where in rows} == {place})
    records = [
        (int(table["capture"][where.row]), int(table["first_record"][where.row]))
        for rows in of_both
        for where in rows
        for table in (ends.views[where.place].connections,)
    ]
    argument = Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"The same minutes from two places: {reference}; {names}",
        because=sentence(
            f"{counted(len(of_both), 'connection')} of {names} {'is' if len(of_both) == 1 else 'are'} in {reference} "
            f"too and counted once, {alone:,} {'is' if alone == 1 else 'are'} there alone; "
            f"{clock_words(capture, names, reference)}{translation_words(ends) if place == 1 else ''}"
        ),
        limitations=("A way that is longer than the way back looks like a clock that is ahead by half of that.",),
    )
    return _about(capture, argument, sorted(records))


def _views(capture: CaptureView) -> Argument:
    copies = capture.ledger["duplicates"]
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} shows packets that were seen before, in it or in another capture of the same minutes",
        because=(
            f"{copies:,} of {counted(capture.records, 'record')} of {capture.name} repeat a packet that was already "
            "seen, which is what captures made at two places give; they are left out of all counts."
        ),
        limitations=("Read together from pipes, captures of two places do not say which of them missed a packet.",),
        remedies=("Name the captures as files: they are then read each for itself and compared.",),
    )


def _copies(capture: CaptureView, connections: int, view: View) -> Argument:
    copies = capture.ledger.get("duplicates", 0)
    share = 100 * copies / max(capture.records, 1)
    first = f"; the first is record {capture.duplicate_records[0][1]}" if capture.duplicate_records else ""
    parts = []
    if copies:
        parts.append(
            f"{copies:,} of {counted(capture.records, 'record')} of {capture.name} ({share:.1f} %) repeat a packet "
            f"that was already seen{first}; they are left out of all counts"
        )
    if connections and view.ends is not None:
        were = "connection was" if connections == 1 else "connections were"
        parts.append(
            f"{connections:,} {were} seen once more under other addresses and counted once"
            f"{translation_words(view.ends) if len(view.ends.places) == 1 else ''}"
        )
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{capture.name} holds the same packets more than once",
        because=sentence("; ".join(parts)),
        limitations=("A device that really duplicates packets looks the same in one capture.",),
        remedies=("Capture on one interface in place of `-i any` where copies are in the way.",),
    )
