"""The tables of several places, or of both sides of a translation, as one: each connection once.

A connection is told as the place nearest the client saw it, which knows what the client got; where that place did not
see its request, or cannot tell what became of it, as the next one saw it. What the others saw are its *sightings*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.columns import Maker, Table
from analyzer.exchanges.connections import MOST_RECORDS, Judge
from analyzer.exchanges.ends.match import Where, clusters
from analyzer.exchanges.ends.places import Place
from analyzer.exchanges.ends.sightings import Ends
from analyzer.exchanges.judge import UNDETERMINED
from analyzer.exchanges.sockets import sockets_table
from analyzer.exchanges.view import HOSTS, View

#: A question that is broadcast reaches all places of one link at once.
_BROADCAST_NS = 1_000_000_000

_CITED = ("request_records", "evidence_records")


def joined(views: Sequence[View], judges: Sequence[Judge], places: Sequence[Place]) -> View:
    """One view of all places, the first nearest the client; the same view where nothing was seen twice."""
    groups = clusters(judges)
    if len(views) == 1 and all(len(group) == 1 for group in groups):
        return views[0]
    groups = [_best_first(views, group) for group in groups]
    first_time = [view.connections["first_time"] for view in views]
    groups.sort(key=lambda group: (int(first_time[group[0].place][group[0].row]), group[0]))
    numbers = {where: f"C{n}" for n, group in enumerate(groups, start=1) for where in group}
    chosen = {group[0] for group in groups}
    names = [
        {old: numbers[Where(place, row)] for row, old in enumerate(view.connections["connection"].tolist())}
        for place, view in enumerate(views)
    ]
    told = [
        {old for row, old in enumerate(view.connections["connection"].tolist()) if Where(place, row) in chosen}
        for place, view in enumerate(views)
    ]
    connections = _connections([view.connections for view in views], groups)
    exchanges = _exchanges(views, names, told)
    everything = len(views) > 1
    seen = {numbers[group[0]]: sorted(group) for group in groups if everything or len(group) > 1}
    return View(
        connections=connections,
        exchanges=exchanges,
        sockets=sockets_table(connections, exchanges),
        hosts=_hosts(views),
        resolutions=_resolutions(views, names, told),
        stories=_stories(views, names, told),
        captures=tuple(sorted((c for view in views for c in view.captures), key=lambda c: c.index)),
        ends=Ends(tuple(places), tuple(_renamed(v, n) for v, n in zip(views, names, strict=True)), seen),
    )


def _best_first(views: Sequence[View], group: list[Where]) -> list[Where]:
    """The rows of one connection, the one that tells it first."""

    def rank(where: Where) -> tuple[object, ...]:
        table = views[where.place].connections
        asked, outcome, time = (table.at(name, [where.row])[0] for name in ("request_time", "outcome", "first_time"))
        return asked < 0, outcome == UNDETERMINED, where.place, time, where.row

    return sorted(group, key=rank) if len(group) > 1 else group


def _connections(tables: Sequence[Table], groups: Sequence[Sequence[Where]]) -> Table:
    """The rows that come first in their groups, numbered anew; what they cite are the records of all views."""
    told = [group[0] for group in groups]
    columns = _taken(tables, told) | {"connection": [f"C{n}" for n in range(1, len(groups) + 1)]}

    def cited(name: str, index: Sequence[int]) -> list[tuple[tuple[int, int], ...]]:
        views = [(i, where) for i in index for where in groups[i]]
        records: dict[int, dict[tuple[int, int], None]] = {i: {} for i in index}
        for (i, _), cell in zip(views, _at(tables, name, [where for _, where in views]), strict=True):
            records[i].update(dict.fromkeys(cell))
        return [tuple(records[i])[:MOST_RECORDS] for i in index]

    lazy = _costly(tables, told)
    lazy |= {name: (lambda index, name=name: cited(name, index)) for name in _CITED}  # type: ignore[misc]
    return Table.from_columns("connections", tables[0].schema, columns, lazy)


def _at(tables: Sequence[Table], name: str, chosen: Sequence[Where]) -> list[Any]:
    """A column of several tables in chosen rows, each table asked once."""
    values: list[Any] = [None] * len(chosen)
    for place, table in enumerate(tables):
        mine = [i for i, where in enumerate(chosen) if where.place == place]
        for i, value in zip(mine, table.at(name, [chosen[i].row for i in mine]), strict=True):
            values[i] = value
    return values


def _costly(tables: Sequence[Table], chosen: Sequence[Where]) -> dict[str, Callable[[Sequence[int]], list[Any]]]:
    """The costly columns of several tables, in chosen rows."""

    def maker(name: str) -> Callable[[Sequence[int]], list[Any]]:
        return lambda index: _at(tables, name, [chosen[i] for i in index])

    return {name: maker(name) for name in tables[0].lazy}


def _taken(tables: Sequence[Table], chosen: Sequence[Where]) -> dict[str, list[Any] | Maker]:
    """The columns of several tables, in chosen rows; costly ones left out."""
    begins = np.cumsum([0, *(len(table) for table in tables)])
    flat = np.array([int(begins[where.place]) + where.row for where in chosen], np.int64)
    names = [column.name for column in tables[0].schema if column.name not in tables[0].lazy]

    def maker(name: str) -> Maker:
        return lambda: np.concatenate([table[name] for table in tables])[flat]

    return {name: maker(name) for name in names}


def _kept(
    tables: Sequence[Table], keep: Callable[[int, Mapping[str, Any]], bool], names: Sequence[str]
) -> tuple[Table, list[int]]:
    """The rows of several tables that ``keep`` wants, asked with their place and the named columns; and the places."""
    chosen = [
        Where(place, row)
        for place, table in enumerate(tables)
        for row, values in enumerate(zip(*(table[name].tolist() for name in names), strict=True))
        if keep(place, dict(zip(names, values, strict=True)))
    ]
    columns, costly = _taken(tables, chosen), _costly(tables, chosen)
    table = Table.from_columns(tables[0].name, tables[0].schema, columns, costly)
    return table, [where.place for where in chosen]


def _with(table: Table, column: str, values: list[Any]) -> Table:
    """The table with other values in a column."""
    makers: dict[str, list[Any] | Maker] = {
        each.name: (lambda name=each.name: table[name])  # type: ignore[misc]
        for each in table.schema
        if each.name not in table.lazy
    }
    return Table.from_columns(table.name, table.schema, makers | {column: values}, table.lazy)


def _named(kept: tuple[Table, list[int]], names: Sequence[Mapping[str, str]], column: str = "connection") -> Table:
    """A table of ``_kept`` with the connections' new names; a text of several is joined by commas."""
    table, places = kept
    texts = [_renamed_text(text, names[place]) for place, text in zip(places, table[column].tolist(), strict=True)]
    return _with(table, column, texts)


def _renamed_text(text: str, names: Mapping[str, str]) -> str:
    return ",".join(dict.fromkeys(names[old] for old in text.split(","))) if text else ""


def _in_order(table: Table, by: str, number: str = "") -> Table:
    """A table sorted by a time, its first column numbered anew with a letter."""
    ordered = table.take(np.argsort(table[by], kind="stable"))
    if not number:
        return ordered
    return _with(ordered, table.schema[0].name, [f"{number}{n}" for n in range(1, len(table) + 1)])


def _exchanges(views: Sequence[View], names: Sequence[Mapping[str, str]], told: Sequence[set[str]]) -> Table:
    """The requests of the connections that are told, and questions for neighbours once each."""
    asked: dict[tuple[str, ...], list[tuple[int, int]]] = {}

    def keep(place: int, row: Mapping[str, Any]) -> bool:
        if row["connection"]:
            return row["connection"] in told[place]
        known = asked.setdefault((row["kind"], row["client_address"], row["server_address"]), [])
        if any(p != place and abs(t - row["request_time"]) <= _BROADCAST_NS for p, t in known):
            return False
        known.append((place, row["request_time"]))
        return True

    columns = ("connection", "kind", "client_address", "server_address", "request_time")
    table = _named(_kept([view.exchanges for view in views], keep, columns), names)
    return _in_order(table, "request_time", "E") if len(views) > 1 else table


def _stories(views: Sequence[View], names: Sequence[Mapping[str, str]], told: Sequence[set[str]]) -> Table:
    def keep(place: int, row: Mapping[str, Any]) -> bool:
        return row["connection"] in told[place]

    return _named(_kept([view.stories for view in views], keep, ("connection",)), names)


def _resolutions(views: Sequence[View], names: Sequence[Mapping[str, str]], told: Sequence[set[str]]) -> Table:
    """The resolutions whose first question belongs to a connection that is told."""
    owners = [
        {
            (capture, record): connection
            for kind, capture, record, connection in zip(
                *(view.exchanges[name].tolist() for name in ("kind", "capture", "request_record", "connection")),
                strict=True,
            )
            if kind == "dns"
        }
        for view in views
    ]

    def keep(place: int, row: Mapping[str, Any]) -> bool:
        owned = {owners[place].get(record) for record in row["question_records"]} - {None}
        return not owned or not owned.isdisjoint(told[place])

    kept = _kept([view.resolutions for view in views], keep, ("question_records",))
    return _in_order(_named(kept, names, "connections"), "first_question_time", "R")


def _hosts(views: Sequence[View]) -> Table:
    """Each address once, as the place that saw most of it has it; addresses are one host if one place says so."""
    best: dict[str, dict[str, Any]] = {}
    group: dict[str, str] = {}
    for view in views:
        first: dict[str, str] = {}
        for row in view.hosts.rows():
            address = row["address"]
            _tie(group, address, first.setdefault(row["host"], address))
            known = best.setdefault(address, row)
            most, least = sorted((known, row), key=lambda r: r["packets_from"] + r["packets_to"], reverse=True)
            filled = {name: most[name] or least[name] for name in ("host_reason", "name", "link_address")}
            best[address] = most | filled | {"neighbour_seen": most["neighbour_seen"] or least["neighbour_seen"]}
    numbers: dict[str, str] = {}
    rows = []
    for address in sorted(best, key=lambda a: (best[a]["family"], a)):
        host = numbers.setdefault(_top(group, address), f"H{len(numbers) + 1}")
        rows.append(best[address] | {"host": host})
    return Table.from_rows("hosts", HOSTS, rows)


def _top(group: dict[str, str], address: str) -> str:
    while group.get(address, address) != address:
        address = group[address]
    return address


def _tie(group: dict[str, str], one: str, other: str) -> None:
    low, high = sorted((_top(group, one), _top(group, other)))
    group[high] = low


def _renamed(view: View, names: Mapping[str, str]) -> View:
    """What one place showed, with the connections' new names."""

    def rename(table: Table, column: str) -> Table:
        return _with(table, column, [_renamed_text(text, names) for text in table[column].tolist()])

    return replace(
        view,
        connections=rename(view.connections, "connection"),
        exchanges=rename(view.exchanges, "connection"),
        stories=rename(view.stories, "connection"),
        resolutions=rename(view.resolutions, "connections"),
    )


def joined_packets(tables: Sequence[Table], ends: Ends) -> Table:
    """The packets of all places in the order of time, with the connections' new names."""
    names = [
        {f"C{row + 1}": new for row, new in enumerate(view.connections["connection"].tolist())} for view in ends.views
    ]
    table = _named(_kept(tables, lambda _place, _row: True, ("connection",)), names)
    return _in_order(table, "time") if len(tables) > 1 else table
