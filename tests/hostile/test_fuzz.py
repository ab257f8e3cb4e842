"""The targets of ``make fuzz`` for a moment: what is kept of each, seeds, and a few mutations of them."""

from __future__ import annotations

import ast
import json
import random
import sys
from pathlib import Path
from types import CodeType

import pytest

from analyzer.errors import CaptureError, UsageError
from analyzer.events.saved import scan_from
from analyzer.watch.state import SCHEMA, Store
from fuzz.mutation import Dcids, mutated, mutated_capture
from fuzz.seeds import CORPUS, clear_initials, corpus, recorded, seeds, small_captures
from fuzz.targets import TARGETS, program, zero_keys
from tests.conftest import ROOT

MOST_CORPUS = 300_000  # bytes of all files


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_kept_of_a_target_raises_nothing(target: str) -> None:
    for data in corpus(target):
        TARGETS[target](data)


def test_the_corpus_is_small_and_of_targets() -> None:
    found = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in found} <= set(TARGETS)
    assert sum(path.stat().st_size for path in found) < MOST_CORPUS


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "program"])
def test_seeds_and_mutations_of_them_raise_nothing(target: str) -> None:
    chance, sources = random.Random(target), list(seeds(target))[:60]
    assert sources
    for source in (*sources[:10], *(mutated(chance.choice(sources), chance, sources) for _ in range(60))):
        TARGETS[target](source)


def test_mutated_captures_go_through_the_whole_program() -> None:
    chance, sources = random.Random(1), list(small_captures())
    for _ in range(20):
        program(mutated_capture(chance.choice(sources), chance))


#: Functions of the rooms that read captures which no target calls, and why.
NOT_FUZZED = {
    "wire/quic/seal.py": "makes packets",
    "capture/writer.py": "writes captures",
    "capture/command.py": "writes a command line",
    "capture/merge.py": "of several captures, whose records are read by then",
    "wire/bytes.py": "read in other modules under their own names",
    **dict.fromkeys(("is_url", "_open_url", "_matches", "expanded"), "of a name"),
    "_nothing": "does nothing",
    **dict.fromkeys(("_root_words", "_root", "_sbox_of_aes"), "constants of algorithms"),
    "alert_name": "of a number",
    "group_name": "of a number",
    "tls_version_name": "of a number",
    "error_name": "of two numbers",
    "address_text": "of four numbers",
    "link_type_name": "of a number",
    "decode_packets": "calls ``decode_packet``, which is reached, once per record",
    "is_http_request": "begins the way ``is_http_message`` does",
}


def test_targets_reach_every_function_of_the_rooms_that_read_captures() -> None:
    """So a new decoder is fuzzed, or this says why not."""
    called: set[tuple[str, str]] = set()

    def note(frame: object, event: str, argument: object) -> None:
        if event == "call":
            code: CodeType = frame.f_code  # type: ignore[attr-defined]
            called.add((code.co_filename, code.co_name))

    wire = [module for name, module in sys.modules.items() if name.startswith("analyzer.wire")]
    for each in (zero_keys, *(each for module in wire for each in vars(module).values())):
        if callable(getattr(each, "cache_clear", None)):
            each.cache_clear()
    sys.setprofile(note)
    try:
        for name, target in TARGETS.items():
            chosen = list(seeds(name))
            for data in (*corpus(name), *chosen[:: len(chosen) // 40 + 1]):
                target(data)
    finally:
        sys.setprofile(None)
    missed = []
    for room in ("wire", "capture"):
        for path in sorted((ROOT / "analyzer" / room).rglob("*.py")):
            place = str(path.relative_to(ROOT / "analyzer"))
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and place not in NOT_FUZZED and node.name not in NOT_FUZZED:
                    missed += [f"{place}: {node.name}"] * ((str(path), node.name) not in called)
    assert not missed, "\n".join(missed)


def test_damage_inside_an_initial_is_sealed_again() -> None:
    """The packet can be opened, and most of the time its frames are others than before."""
    packet = next(packet for packet in recorded() if packet.port == 443 and any(clear_initials(packet.payload)))
    ethernet = bytes(12) + (b"\x86\xdd" if packet.raw[0] >> 4 == 6 else b"\x08\x00") + packet.raw
    (before, *_) = clear_initials(packet.payload)
    opened = others = 0
    for seed in range(40):
        raw = Dcids().damaged_inside(ethernet, random.Random(seed))
        if raw:
            (after, *_) = clear_initials(raw[len(ethernet) - len(packet.payload) :])
            opened += bool(after)
            others += after.rstrip(b"\0") != before.rstrip(b"\0")
    assert opened >= 10
    assert others >= opened - 3


def test_a_saved_scan_whose_columns_have_no_names_is_an_error_of_ours() -> None:
    """Found by fuzzing: a column's name that is no UTF-8."""
    sound = next(seeds("saved_scan"))
    with pytest.raises(CaptureError):
        scan_from(sound.replace(b"key_0", b"key\xbf0"))


@pytest.mark.parametrize(
    "page",
    [
        {"series": {"a": {"window": [{"number": 1, "name": "", "counted": "eAFjZoAA"}]}}},  # compressed, and cut
        {"series": []},
        {"series": {"a": {"window": [{"number": [], "name": "", "first_time": 1, "last_time": 2, "counted": ""}]}}},
    ],
)
def test_a_state_of_a_watcher_that_is_damaged_is_an_error_of_ours(page: dict[str, object], tmp_path: Path) -> None:
    """Found by fuzzing."""
    (tmp_path / "state.json").write_text(json.dumps({"schema": SCHEMA} | page))
    with pytest.raises(UsageError, match="cannot be read"):
        Store(tmp_path).load()
