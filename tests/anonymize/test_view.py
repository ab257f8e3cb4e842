"""The tables of an anonymised analysis: every text column is known, and cells are replaced by what they hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.edit import Maps
from analyzer.anonymize.sentences import Sentences
from analyzer.anonymize.view import NAMES, OTHERS, SAME, SENTENCES, WITH_ADDRESSES, Texts
from analyzer.exchanges.schemas import SCHEMAS
from analyzer.exchanges.stories.schema import STORIES
from analyzer.exchanges.view import HOSTS, CaptureView, View

MAPS = Maps(Key(bytes(range(32))))
TEXTS = Texts(MAPS)


def test_every_text_column_of_every_table_is_known() -> None:
    schemas = [HOSTS, STORIES, *(schema for name, schema in SCHEMAS.items() if name != "findings")]
    columns = {column.name for schema in schemas for column in schema if column.kind == "text"}
    known = Counter([*NAMES, *OTHERS, *SAME, *SENTENCES, *WITH_ADDRESSES])
    assert set(known) == columns
    assert set(known.values()) == {1}


def test_a_column_that_is_not_known_is_scrambled() -> None:
    made = TEXTS.cell("new_column", "secret of www.example.com")
    assert made.count(" ") == 2
    assert "example" not in made


def test_nothing_is_added_to_a_view_that_is_not_mapped() -> None:
    """A new field is to be mapped, or known to hold nothing private."""
    tables = {"connections", "exchanges", "sockets", "hosts", "resolutions", "stories", "captures", "filtered", "ends"}
    assert {field.name for field in fields(View) if field.init and not field.name.startswith("_")} == tables
    texts = {field.name for field in fields(CaptureView) if field.type in ("str", "tuple[str, ...]")}
    assert texts == {
        *("name", "cut", "warnings", "vantage_reason"),
        *("format", "link_types", "unread_link_types", "vantage"),  # words of ours
    }


@pytest.mark.parametrize(
    ("column", "text", "parts"),
    [
        ("client_address", "192.0.2.1", ("{a}",)),
        ("replied_from", "192.0.2.1:443", ("{a}", ":443")),
        ("replied_from", "[2001:db8::1]:443", ("[{b}]", ":443")),
        ("tried", "192.0.2.1,2001:db8::1", ("{a},{b}",)),
        ("name", "192.0.2.1", ("{a}",)),
        ("sni", "www.example.com", ("{n}",)),
        ("served_client", "192.0.2.1 port 4000", ("{a} port 4000",)),
        ("detail", "who has 192.0.2.1", ("who has {a}",)),
        ("key_log_notes", "the server chose ALPN h3 (key log)", ("the server chose ALPN h3 (key log)",)),
        (
            "key_log_notes",
            "certificate of www.example.com, issued by CN=R, valid from 2026-01-02 to 2027-01-02 UTC; 2 in the chain",
            ("certificate of {n}, issued by ", ", valid from 2026-01-02 to 2027-01-02 UTC; 2 in the chain"),
        ),
        ("detail", "ACK, ClientHello for www.example.com; 517 bytes of data", ("ACK, ClientHello for {n}; 517 bytes",)),
        ("detail", "port-unreachable, quotes [2001:db8::1]:50 -> 192.0.2.1:443", ("quotes [{b}]:50 -> {a}:443",)),
        (
            "asked",
            "ClientHello for www.example.com, TLS 1.3, ALPN h2,http/1.1",
            ("for {n}, TLS 1.3, ALPN h2,http/1.1",),
        ),
        ("close_reason", "INTERNAL_ERROR: no certificate for x", ("INTERNAL_ERROR: no certificate for ",)),
        ("alpn", "h3,h2", ("h3,h2",)),
        ("alt_svc", 'h3=":443"; ma=86400', ('h3=":443"; ma=86400',)),
        ("alt_svc", 'h3="www.example.com:443"', ('h3="{n}:443"',)),
        ("history", "IihoIH", ("IihoIH",)),
    ],
)
def test_cells(column: str, text: str, parts: tuple[str, ...]) -> None:
    known = {"a": MAPS.addresses.text("192.0.2.1"), "b": MAPS.addresses.text("2001:db8::1")}
    known["n"] = MAPS.names.text("www.example.com")
    made = TEXTS.cell(column, text)
    assert all(part.format(**known) in made for part in parts)
    assert TEXTS.cell(column, "") == ""


@pytest.mark.parametrize("text", ["POST /users/alice HTTP", "ClientHello for intranet", "Host payroll", "ALPN acme-x"])
def test_words_that_are_not_ours_do_not_stay_in_sentences(text: str) -> None:
    made = TEXTS.cell("asked", text)
    assert not any(word in made for word in ("alice", "intranet", "payroll", "acme"))
    assert len(made) == len(text)


def test_a_name_that_is_a_word_of_ours_is_replaced_as_in_its_column() -> None:
    assert Sentences(MAPS, {"record"}).replaced("Host record") == f"Host {MAPS.names.text('record')}"


def test_captures_lose_their_names(tmp_path: Path, captures: Path) -> None:
    capture = tmp_path / "acme-customer.pcap"
    content = (captures / "11-tcp-cases" / "syn-rst" / "server.pcap").read_bytes()
    capture.write_bytes(content[:-7])
    view = TEXTS.view(analyse([str(capture)]).view)
    assert [each.name for each in view.captures] == ["capture-1.pcap"]
    assert view.captures[0].cut.startswith("capture-1.pcap: record ")
    assert "acme" not in repr(view.captures)
