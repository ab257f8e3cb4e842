"""QUIC flows of a large scan read by two processes: this one, and one beside it that is given what it needs.

How it works
------------
Each flow is read on its own (``reader``), so flows can be read anywhere and in any order. They lie in a queue, some
hundred together. This process reads from its front; whenever the other one has little before it, it is given a portion
from the back: its rows and bytes over one pipe, its connections come back over another. Whoever is quicker reads more.
What the second process did not return, because it could not start or died, is read here in the end.

Rows and flows travel with the numbers that they have in the whole scan, so that connections need no translation here;
they travel as plain tuples (``marshal``), which take a tenth of the time that objects take.
"""

from __future__ import annotations

import contextlib
import marshal
import pickle
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, BinaryIO, cast

import numpy as np

from analyzer.events.connection import Connection, Counters, Flows, Socket
from analyzer.events.quic.plain import WORTH_KERNELS, plain_connections
from analyzer.events.quic.reader import quic_connections
from analyzer.events.scan import Scan
from analyzer.events.selected import Selected
from analyzer.events.tcp.states import State
from analyzer.processes import end, helper, processors, send
from analyzer.wire.tls_hello import ClientHello, HelloFlaw, ServerHello

#: Flows that are sent together: large enough to make a message worth its way, small enough to end at the same time.
PORTION = 1000
#: Reading fewer flows takes less time than starting a second process does.
WORTH_A_PROCESS = 6000

_AHEAD = 2  # portions: the one that is read, and the next
#: What ``Flows`` and the reader of QUIC look at; the other columns stay empty.
_READ = frozenset(
    {"time", "direction", "reason", "kind", "fragment", "payload_length", "payload_captured", "quic", "cid_digest"}
    | {"ordinal", "duplicate_ordinal", "bytes_so_far", "other_records", "other_duplicates", "other_bytes", "header"}
)
_TARGET = "analyzer.events.quic.aside:serve"
_FIELDS = tuple(field.name for field in fields(Connection))
_values_of = attrgetter(*_FIELDS)
_AT = {name: place for place, name in enumerate(_FIELDS)}
_CLIENT, _SERVER, _COUNTERS = _AT["client"], _AT["server"], _AT["counters"]
_HELLO, _SERVER_HELLO, _CHLO = _AT["hello"], _AT["server_hello"], _AT["chlo"]
_ROW_LISTS, _ROWS = (_AT["rows"], _AT["request_rows"]), (_AT["reply_row"], _AT["went_on_row"])
_STATE = _AT["tcp_state"]
_FLAW = ClientHello._fields.index("flaw")


#: The process that ``beside`` keeps ready for ``read_flows``.
_ready: list[Second] = []


@contextlib.contextmanager
def beside(*, alone: bool) -> Iterator[None]:
    """Within: how ``read_flows`` reads, ``alone`` or with a second process; what is left at the end is ended."""
    second = Second(at_flows=-1 if alone else WORTH_A_PROCESS)
    _ready.append(second)
    try:
        yield
    finally:
        second.finish()
        _ready.remove(second)


def read_flows(flows: Flows, chosen: Sequence[int], second: Second | None = None) -> list[Connection]:
    """The QUIC connections of the flows ``chosen``, in no certain order; ``second`` reads some, and is ended here."""
    portions = deque(chosen[i : i + PORTION] for i in range(0, len(chosen), PORTION))
    second = second or (_ready[-1] if _ready else Second())
    second.expect(len(chosen))
    connections: list[Connection] = []
    try:
        while portions:
            if second.wants():
                second.give(flows, portions.pop())
                continue
            connections += connections_of(flows, portions.popleft())
    finally:
        messages, unread = second.finish()
    for message in messages:
        connections += map(_received, marshal.loads(message))
    return connections + connections_of(flows, unread)


class Second:
    """The second process, the thread that writes to it and the thread that reads from it.

    It is started when ``at_flows`` flows are expected and this process may use two processors; -1: never. The threads
    do nothing else: a thread that computes beside another one mostly waits for the interpreter's lock.
    """

    def __init__(self, at_flows: int = WORTH_A_PROCESS) -> None:
        self._at_flows = at_flows if processors() > 1 else -1
        self._begin()

    def _begin(self) -> None:
        self._given: list[Sequence[int]] = []
        self._outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._messages: list[bytes] = []
        self._ahead = threading.Semaphore(_AHEAD)
        self._threads: list[threading.Thread] = []

    def expect(self, count: int) -> None:
        """Start if so many flows are worth it."""
        if self._threads or self._at_flows < 0 or count < self._at_flows:
            return
        try:
            self._process = helper(_TARGET)
        except OSError:  # no processes or files to be had: then everything is read here
            return
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def wants(self) -> bool:
        """Whether the second process has no more than one portion before it; asked before each ``give``."""
        return bool(self._threads) and self._ahead.acquire(blocking=False)

    def give(self, flows: Flows, portion: Sequence[int]) -> None:
        """Have a portion read aside."""
        self._given.append(portion)
        self._outgoing.put(pickle.dumps(portion_of(flows, portion), protocol=5))

    def finish(self) -> tuple[list[bytes], list[int]]:
        """End it, so that it may be started again; what came back, and the flows that were given in vain."""
        self._outgoing.put(b"")
        for thread in self._threads:
            thread.join()
        if self._threads:
            end(self._process)
        messages, unread = self._messages, self._given[len(self._messages) :]
        self._begin()
        return messages, [flow for portion in unread for flow in portion]

    def _write(self) -> None:
        pipe = cast(BinaryIO, self._process.stdin)
        with contextlib.suppress(OSError):
            while message := self._outgoing.get():
                pipe.write(message)
                pipe.flush()
            send(pipe, None)

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while (message := pickle.load(cast(BinaryIO, self._process.stdout))) is not None:
                self._messages.append(message)
                self._ahead.release()


def portion_of(flows: Flows, chosen: Sequence[int]) -> tuple[Scan, list[int], list[int]]:
    """A scan of some flows alone, and the numbers that its flows and rows have in the whole one.

    It holds what readers of QUIC look at: rows without duplicates, of these the columns ``_READ``, and the bytes of
    those with a long header.
    """
    scan, rows = flows.scan, flows.scan.rows
    bounds = [flows.bounds(flow) for flow in chosen]
    index = np.concatenate([flows.order[low:high] for low, high in bounds])
    flow = np.repeat(np.arange(len(chosen), dtype=np.int32), [high - low for low, high in bounds])
    kept = np.where(rows.quic[index] != 0, rows.kept[index], 0)
    pieces = zip(scan.chunk[index].tolist(), rows.start[index].tolist(), kept.tolist(), strict=True)
    arena = b"".join([scan.chunks[chunk][start : start + size] for chunk, start, size in pieces])
    columns = {name: column[index if name in _READ else index[:0]] for name, column in rows._asdict().items()}
    columns |= {"flow": flow, "start": np.cumsum(kept) - kept, "kept": kept.astype(np.int32)}
    numbers = np.asarray(chosen, np.int64)
    state = scan.table.state.reshape(len(flows.keys), 2, -1)[numbers].reshape(2 * len(chosen), -1)
    table = scan.table._replace(size=np.array([len(chosen)]), keys=flows.keys[numbers].reshape(-1), state=state)
    portion = Scan(table, Selected(**columns), np.zeros(len(index), np.int32), (arena,), scan.ledger)
    return portion, list(chosen), index.tolist()


def connections_of(flows: Flows, chosen: Sequence[int]) -> list[Connection]:
    """The QUIC connections of some flows: of plain ones together, of the others one by one."""
    connections: list[Connection] = []
    if len(chosen) >= WORTH_KERNELS:
        connections, chosen = plain_connections(flows, chosen, compiled=True)
    for flow in chosen:
        connections += quic_connections(flows, flow)
    return connections


def answer_of(scan: Scan, flow_numbers: list[int], row_numbers: list[int]) -> list[tuple[Any, ...]]:
    """The connections of a portion as plain tuples with the numbers of the whole scan."""
    connections = connections_of(Flows(scan), range(len(flow_numbers)))
    return [_plain(connection, flow_numbers[connection.flow], row_numbers) for connection in connections]


def serve(source: BinaryIO, out: BinaryIO) -> None:
    """The second process: read portions until None comes, and say None after the last answer."""
    while (portion := pickle.load(source)) is not None:
        send(out, marshal.dumps(answer_of(*portion)))
    send(out, None)


def _plain(connection: Connection, flow: int, row_numbers: list[int]) -> tuple[Any, ...]:
    """A connection that a reader of QUIC made, as a tuple of plain values."""
    values = list(_values_of(connection))
    values[_AT["flow"]] = flow
    for place in _ROW_LISTS:
        values[place] = [row_numbers[row] for row in values[place]]
    for place in _ROWS:
        values[place] = row_numbers[values[place]] if values[place] >= 0 else -1
    for place in (_CLIENT, _SERVER, _COUNTERS):
        values[place] = tuple(values[place])
    for place in (_HELLO, _SERVER_HELLO):
        if values[place] is not None:
            hello = values[place]
            values[place] = (*hello[:_FLAW], int(hello[_FLAW]), *hello[_FLAW + 1 :])
    if values[_CHLO] is not None:
        values[_CHLO] = pickle.dumps(values[_CHLO])
    values[_STATE] = None
    return tuple(values)


_new = tuple.__new__
_FLAWS = tuple(HelloFlaw)


def _received(plain: tuple[Any, ...]) -> Connection:
    """The connection that ``_plain`` took apart."""
    values = list(plain)
    values[_CLIENT], values[_SERVER] = _new(Socket, values[_CLIENT]), _new(Socket, values[_SERVER])
    values[_COUNTERS] = _new(Counters, values[_COUNTERS])
    for place, kind in ((_HELLO, ClientHello), (_SERVER_HELLO, ServerHello)):
        if (hello := values[place]) is not None:
            values[place] = _new(kind, (*hello[:_FLAW], _FLAWS[hello[_FLAW]], *hello[_FLAW + 1 :]))
    if values[_CHLO] is not None:
        values[_CHLO] = pickle.loads(values[_CHLO])
    values[_STATE] = State.NEW
    return Connection(*values)
