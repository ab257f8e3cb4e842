"""A view of some connections: what a filter leaves of the tables.

Connections are chosen after everything was judged, so that leaving some out changes the outcome of no other: whether a
reply could have been seen is still told by the whole capture. Requests follow their connection, those without one
(ARP, NDP) are asked themselves; the sockets are counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analyzer.columns import Table
from analyzer.events.scan import Scan
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.filters.expression import Filter, Mask
from analyzer.exchanges.sockets import sockets_table
from analyzer.exchanges.view import View


class Whole(Protocol):
    """What was found before a filter; a saved scan makes each part when it is asked for."""

    @property
    def judges(self) -> tuple[Judge, ...]: ...
    @property
    def scan(self) -> Scan: ...
    def packets(self) -> Table: ...


@dataclass(frozen=True)
class Left:
    """What a filter leaves of what was found; what the scan knows stays whole."""

    view: View
    whole: Whole

    @property
    def judges(self) -> tuple[Judge, ...]:
        """All judged connections, by place."""
        return self.whole.judges

    @property
    def scan(self) -> Scan:
        """The whole scan."""
        return self.whole.scan

    def packets(self) -> Table:
        """The selected packets that are about the connections that are left."""
        return packets_left(self.whole.packets(), self.view)


_ENDS = ("transport", "family", "client_address", "client_port", "server_address", "server_port")


def filtered(view: View, wanted: Filter) -> View:
    """The view with the connections that fit the filter, their requests, resolutions, stories and sockets."""
    first = min((capture.first_time for capture in view.captures if capture.first_time >= 0), default=0)
    keep = wanted.fits(_connection_columns(view.connections), first)
    connections = view.connections.take(np.flatnonzero(keep))
    kept = set(connections["connection"].tolist())
    exchanges = view.exchanges.take(np.flatnonzero(_requests(view.exchanges, wanted, first, kept)))
    return replace(
        view,
        connections=connections,
        exchanges=exchanges,
        sockets=sockets_table(connections, exchanges),
        resolutions=view.resolutions.take(np.flatnonzero(_resolutions(view.resolutions, exchanges, kept))),
        stories=view.stories.take(np.flatnonzero(_is_in(view.stories["connection"], kept))),
        filtered=(wanted.text, len(connections), len(view.connections)),
    )


def packets_left(packets: Table, view: View) -> Table:
    """The packets of the connections of a filtered view, and those that are its requests and replies."""
    kept = set(view.connections["connection"].tolist())
    records = _records(view.exchanges, "request_records")
    replies = zip(*(view.exchanges[name].tolist() for name in ("capture", "reply_record")), strict=True)
    records.update(replies)
    mine = _is_in(packets["connection"], kept)
    numbers = zip(packets["capture"].tolist(), packets["record"].tolist(), strict=True)
    cited = np.array([record in records for record in numbers], np.bool_)
    return packets.take(np.flatnonzero(mine | cited))


def _connection_columns(table: Table) -> dict[str, NDArray[Any]]:
    columns = {name: table[name] for name in _ENDS}
    return columns | {"name": table["sni"], "begin": table["first_time"], "end": table["last_time"]}


def _requests(table: Table, wanted: Filter, first: int, kept: set[str]) -> Mask:
    columns = {name: table[name] for name in _ENDS}
    end = np.maximum(table["request_time"], table["last_request_time"])
    own = wanted.fits(columns | {"name": table["name"], "begin": table["request_time"], "end": end}, first)
    return np.asarray(np.where(table["connection"] == "", own, _is_in(table["connection"], kept)), np.bool_)


def _resolutions(table: Table, exchanges: Table, kept: set[str]) -> Mask:
    """Those of which a question was kept, or a connection that followed."""
    records = _records(exchanges, "request_records")
    asked = [any(tuple(record) in records for record in each) for each in table["question_records"]]
    tried = [not kept.isdisjoint(each.split(",")) for each in table["connections"]]
    return np.array(asked, np.bool_) | np.array(tried, np.bool_)


def _records(table: Table, name: str) -> set[tuple[int, int]]:
    return {tuple(record) for records in table[name] for record in records}


def _is_in(column: Iterable[str], kept: set[str]) -> Mask:
    return np.array([name in kept for name in column], np.bool_)
