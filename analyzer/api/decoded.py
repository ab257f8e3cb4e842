"""Records as packets of scapy and of pyshark.

Of pyshark 0.6 every call needs an event loop of asyncio that is not running, and a notebook's always is. So it works
in a thread of its own with a loop of its own: there it also never touches the child watchers that newer Pythons
dropped. It is given a small pcapng file with the chosen records alone, so that tshark need not read the whole capture;
each decoded packet then gets the number back that it has in the original file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.capture.writer import NewRecord, PcapngWriter
from analyzer.errors import UsageError
from analyzer.reports.evidence.copy import check_paths, read_again

if TYPE_CHECKING:
    from scapy.packet import Packet
    from scapy.plist import PacketList

Record = tuple[int, int]  # (capture index from 0, record number from 1)

#: Records that are decoded at once; tshark needs milliseconds for each.
MOST_RECORDS = 20_000

_NANOSECONDS = 1_000_000_000


def raw_records(paths: Sequence[str], records: Sequence[Record]) -> list[tuple[Record, NewRecord]]:
    """The records read again, in the order of the captures. Raises UsageError where that cannot be done."""
    wanted = sorted(set(records))
    if len(wanted) > MOST_RECORDS:
        raise UsageError(f"{len(wanted):,} records are more than {MOST_RECORDS:,}; choose fewer")
    check_paths([paths[capture] for capture in sorted({capture for capture, _ in wanted})])
    # The comment carries the number through the merge of several captures.
    labels = {record: f"{record[0]} {record[1]}" for record in wanted}
    read = []
    for each in read_again(paths, labels):
        capture, number = map(int, each.comment.split())
        read.append(((capture, number), each))
    if len(read) < len(wanted):
        raise UsageError(
            f"{len(wanted) - len(read):,} records could not be read again: the capture changed; open it anew"
        )
    return read


def as_scapy(paths: Sequence[str], records: Sequence[Record], *, name: str) -> PacketList:
    """The records as scapy packets with their times and original lengths; each has its ``comment``: the record.

    A link type that scapy does not know gives ``Raw``.
    """
    from scapy.config import conf
    from scapy.layers import all as _layers  # noqa: F401, its import registers the layers
    from scapy.packet import Raw
    from scapy.plist import PacketList
    from scapy.utils import EDecimal

    packets: list[Packet] = []
    for (capture, number), read in raw_records(paths, records):
        layer = conf.l2types.num2layer.get(read.interface.link_type, Raw)
        packet = layer(read.captured)
        packet.time = EDecimal(read.time) / _NANOSECONDS
        packet.wirelen = read.original_length
        packet.comment = f"record {number} of {Path(paths[capture]).name}".encode()
        packets.append(packet)
    return PacketList(packets, name=name)


def as_pyshark(paths: Sequence[str], records: Sequence[Record], *, keylog: str | None = None) -> list[Any]:
    """The records as packets of pyshark, decoded by tshark; the ``number`` of each is that of its record.

    Each is a ``pyshark.packet.packet.Packet``. Raises UsageError where tshark is not installed.
    """
    read = raw_records(paths, records)
    with tempfile.TemporaryDirectory(prefix="halfshake-") as folder:
        path = Path(folder) / "chosen.pcapng"
        with path.open("wb") as file:
            writer = PcapngWriter(file, application="halfshake")
            for _, each in read:
                writer.write(each)
        decoded = in_a_thread(lambda: _decode(path, keylog))
    for ((_, number), _), packet in zip(read, decoded, strict=True):
        packet.number = str(number)
    return decoded


def _decode(path: Path, keylog: str | None) -> list[Any]:
    """Runs where no event loop runs: in a thread of its own."""
    import asyncio

    import pyshark
    from pyshark.tshark.tshark import TSharkNotFoundException

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        preferences = {"tls.keylog_file": keylog} if keylog else {}
        capture = pyshark.FileCapture(str(path), eventloop=loop, override_prefs=preferences)
        try:
            capture.load_packets()
            return [capture[place] for place in range(len(capture))]
        finally:
            capture.close()
    except TSharkNotFoundException as error:
        raise UsageError("tshark is not installed; it is part of Wireshark") from error
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def in_a_thread(work: Callable[[], list[Any]]) -> list[Any]:
    """What ``work`` returns or raises, done in another thread: it may run event loops whatever runs here."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()
