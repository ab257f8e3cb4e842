"""The view of an analysis with other names and addresses: what findings and reports are then made of.

The tables are the one door: sentences, display filters, ladders and plots are made of their cells, so that none has to
be searched for names. Each text column is named here; one that is not is scrambled.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from analyzer.anonymize.names import Names
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.phrases import alpn, alt_svc, phrase
from analyzer.anonymize.sentences import Sentences
from analyzer.columns import Maker, Table
from analyzer.exchanges.view import CaptureView, View

#: Ids, words of ours, numbers in hexadecimal digits: they tell nothing of who was recorded.
_SAME = """
alert_by answer_code client_acked client_dcid client_scid client_sent close_side connection
connections direction exchange family first_tried_family flaw hello_missing history hole_by host host_reason
icmp ja4 kind notes ocsp_status outcome outcome_reason protocol question_type quic_version quic_version_negotiated
resets_side resolution roles_from server_acked server_scid server_sent server_version silent_side state stuck_by
tls_version transport versions_listed versions_offered zero_window_by
"""
SAME = frozenset(_SAME.split())
#: Addresses, several joined by commas, sockets, and sentences of ours with such in them.
WITH_ADDRESSES = frozenset(
    {
        *("address", "addresses", "addresses_a", "addresses_aaaa", "answers", "client_address", "refused_by"),
        *("replied_from", "resolver", "served_client", "server_address", "silent_path", "tried"),
    }
)
NAMES = frozenset({"name", "sni"})
#: Sentences of ours that hold addresses, names and paths.
SENTENCES = frozenset({"asked", "detail", "headers", "key_log_notes", "replied"})
OTHERS = frozenset({"alpn", "alt_svc", "close_reason", "link_address", "ocsp_serial"})

#: In place of a filter expression, which names addresses.
NOT_SHOWN = "(not shown)"

_LINK_ADDRESS = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


class Texts:
    """The mapping of cells of tables, each text mapped once."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps
        self._known: dict[tuple[str, str], str] = {}
        self._sentences = Sentences(maps, frozenset())
        self._others: dict[str, Callable[[str], str]] = {
            "alpn": self._alpn,
            "alt_svc": lambda text: self._of_bytes(alt_svc, text),
            "close_reason": self._close_reason,
            "link_address": self._link_address,
            "ocsp_serial": lambda text: self._sentences.serial(text),
        }

    def view(self, view: View) -> View:
        """The view with other names and addresses; captures are called capture-1, capture-2, ..."""
        alone = view.ends.views if view.ends is not None else ()
        names = set[str]()
        for each in (view, *alone):
            columns = (each.connections["sni"], each.exchanges["name"], each.hosts["name"], each.resolutions["name"])
            names.update(name.lower() for column in columns for name in column.tolist() if name)
        self._sentences = Sentences(self._maps, names)
        ends = None if view.ends is None else replace(view.ends, views=tuple(map(self._tables, alone)))
        return replace(self._tables(view), ends=ends)

    def _tables(self, view: View) -> View:
        """The view without its ends."""
        return View(
            connections=self.table(view.connections),
            exchanges=self.table(view.exchanges),
            sockets=self.table(view.sockets),
            hosts=self.table(view.hosts),
            resolutions=self.table(view.resolutions),
            stories=self.table(view.stories),
            captures=tuple(self._capture(capture) for capture in view.captures),
            filtered=None if view.filtered is None else (NOT_SHOWN, *view.filtered[1:]),
        )

    def table(self, table: Table) -> Table:
        """The table with its text columns mapped."""
        texts = {column.name for column in table.schema if column.kind == "text"} - SAME
        columns: dict[str, Maker] = {}
        lazy: dict[str, Callable[[Any], list[Any]]] = {}
        for name in (column.name for column in table.schema):
            if name in table.lazy:
                values = table.lazy[name]
                lazy[name] = self._lazy(name, values) if name in texts else values
            else:
                columns[name] = self._maker(table, name, is_mapped=name in texts)
        return Table.from_columns(table.name, table.schema, columns, lazy)

    def cell(self, column: str, text: str) -> str:
        """The text that takes the place of one in a column."""
        if not text or column in SAME:
            return text
        key = (column if column not in WITH_ADDRESSES else "", text)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._mapped(column, text)
        return found

    def _maker(self, table: Table, name: str, *, is_mapped: bool) -> Maker:
        def make() -> list[Any] | np.ndarray[Any, Any]:
            array = table.arrays[name]
            return [self.cell(name, text) for text in array.tolist()] if is_mapped else array

        return make

    def _lazy(self, name: str, values: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
        return lambda index: [self.cell(name, text) for text in values(index)]

    def _mapped(self, column: str, text: str) -> str:
        if column in WITH_ADDRESSES:
            return self._sentences.addresses(text)
        if column in SENTENCES:
            return self._sentences.replaced(text)
        if column in NAMES:
            mapped = self._sentences.address(text)
            return mapped if mapped != text else self._maps.names.text(text)
        other = self._others.get(column)
        return other(text) if other is not None else self._scrambled(text)

    def _alpn(self, text: str) -> str:
        return ",".join(self._of_bytes(alpn, protocol) for protocol in text.split(","))

    def _close_reason(self, text: str) -> str:
        """The code in words of ours, and behind a colon what the peer said."""
        code, colon, reason = text.partition(": ")
        return code + colon + self._of_bytes(phrase, reason)

    def _of_bytes(self, replaced: Callable[[bytes, Names], bytes], text: str) -> str:
        return replaced(text.encode("utf-8", "replace"), self._maps.names).decode("utf-8", "backslashreplace")

    def _link_address(self, text: str) -> str:
        if not _LINK_ADDRESS.fullmatch(text):
            return self._scrambled(text)
        return self._maps.addresses.link(bytes.fromhex(text.replace(":", ""))).hex(":")

    def _scrambled(self, text: str) -> str:
        return self._maps.names.scrambled(text.encode("utf-8", "replace")).decode("utf-8", "backslashreplace")

    def _capture(self, capture: CaptureView) -> CaptureView:
        """A capture under another name, which warnings and the sentence about a cut begin with."""
        name = f"capture-{capture.index + 1}.{capture.format or 'pcap'}"
        named = re.compile(rf"(?<!\w){re.escape(capture.name)}(?!\w)")

        def renamed(sentence: str) -> str:
            return self._sentences.addresses(named.sub(name, sentence))

        return replace(
            capture,
            name=name,
            cut=renamed(capture.cut),
            warnings=tuple(renamed(warning) for warning in capture.warnings),
            vantage_reason=renamed(capture.vantage_reason),
        )
