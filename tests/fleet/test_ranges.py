"""A file scanned by ranges is the same as a file scanned at once, wherever the ranges begin."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.analysis import analyse
from analyzer.capture.source import CaptureFile
from analyzer.fleet import limit, local
from analyzer.fleet.pieces import How
from analyzer.fleet.ranges import Plan, RangeJob, cuts_of, join
from analyzer.fleet.work import Work
from benchmarks.hostile.flows import distinct_flows
from tests.conftest import ROOT
from tests.crafted import batches_of
from tests.fleet.same import Here, at_most, plain, scanned, written

CAPTURES = ROOT / "captures"
FILES = (
    "02-caddy-ipv4-silent/nft-output-drop/server.pcap",
    "15-any-interface/dnat/host-3if.pcapng",
    "15-any-interface/dnat/host-any.pcap",
    "11-tcp-cases/synack-lost-path/server.pcap",
)


@functools.cache
def positions(path: Path) -> list[int]:
    """Where the records of a file begin, and where it ends."""
    return [
        int(position) for batch in batches_of(path) for position in batch.records.position
    ] + [path.stat().st_size]  # fmt: skip


@functools.cache
def whole(path: Path) -> object:
    return scanned(path)


def by_ranges(path: Path, cuts: list[int], how: How) -> object:
    size = path.stat().st_size
    plan = Plan(tuple(sorted(set(cuts))), size)
    file = CaptureFile(str(path))
    file.look(for_time=False)
    pieces = [RangeJob(str(path), begin, end, how).run(lambda _: None) for begin, end in plan.ranges()]
    return plain(join(file, plan, pieces, how)), [file.facts]


def how_of(path: Path) -> How:
    return How(compiled=False, with_secrets=path.suffix == ".pcapng")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=12)
@given(data=st.data())
def test_cut_at_random_records(name: str, data: st.DataObject) -> None:
    path = CAPTURES / name
    places = positions(path)
    cuts = [places[0], *data.draw(st.lists(st.sampled_from(places[1:-1]), min_size=1, max_size=4))]
    assert by_ranges(path, cuts, how_of(path)) == whole(path)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=8)
@given(data=st.data())
def test_a_wrong_guess_changes_nothing(name: str, data: st.DataObject) -> None:
    path = CAPTURES / name
    places = positions(path)
    inside = st.integers(places[0] + 1, places[-1] - 1)
    cuts = [places[0], *data.draw(st.lists(inside | st.sampled_from(places[1:-1]), min_size=1, max_size=4))]
    assert by_ranges(path, cuts, how_of(path)) == whole(path)


@pytest.mark.parametrize("name", FILES)
def test_guesses_are_records(name: str) -> None:
    path = CAPTURES / name
    plan = cuts_of(str(path), path.stat().st_size, 3)
    assert plan is not None
    assert len(plan.cuts) >= 2
    assert set(plan.cuts) <= set(positions(path))


@pytest.mark.parametrize("name", FILES[:2])
@pytest.mark.parametrize("damage", ["cut", "zeros", "noise", "nonsense"])
def test_damaged_files(name: str, damage: str, tmp_path: Path) -> None:
    """The sentence about the damage tells of records counted from the start of the file."""
    original = CAPTURES / name
    places = positions(original)
    content = bytearray(original.read_bytes())
    at = places[2 * len(places) // 3]
    if damage == "cut":
        del content[at + 20 :]
    elif damage == "zeros":
        content[at : at + 4000] = bytes(4000)
    elif damage == "noise":
        content[at : at + 64] = b"\xff" * 64
    else:
        content[at + 3 : at + 3] = b"abc"
    path = tmp_path / original.name
    path.write_bytes(content)
    cuts = [places[0], places[len(places) // 3], places[len(places) // 2], places[-20]]
    cuts = [cut for cut in cuts if cut < len(content)]
    expected = scanned(path)
    assert expected[1][0].cut
    assert by_ranges(path, cuts, how_of(path)) == expected


def test_what_describes_in_the_middle_of_a_pcapng_file(tmp_path: Path) -> None:
    """Two sections in one file, with other interfaces, comments and statistics between the packets."""
    one, other = (CAPTURES / name for name in (FILES[1], "15-any-interface/dnat/host-3if.pcapng"))
    path = tmp_path / "two.pcapng"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    places = positions(path)
    expected = scanned(path)
    for k in range(1, 6):
        cuts = [places[0], places[k * len(places) // 6], places[-2]]
        assert by_ranges(path, cuts, how_of(path)) == expected


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_command_says_the_same_whatever_the_number_of_processes(jobs: int, tmp_path: Path) -> None:
    from unittest import mock

    path = tmp_path / "server.pcap"
    shutil.copy(CAPTURES / FILES[0], path)
    with mock.patch("analyzer.fleet.local.RANGE_BYTES", 1000):
        assert written(analyse([str(path)], work=Work(jobs=jobs))) == written(analyse([str(path)]))


@pytest.mark.parametrize(("place", "most"), [(0, 500), (2, 700), (3, 30_000), (1, 1), (0, 1_000)])
def test_what_is_too_much_is_left_out_as_by_one_process(
    place: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each range alone may hold less than what is too much, or more."""
    path = tmp_path / "flood.pcap"
    distinct_flows(path, 900)
    monkeypatch.setattr(limit, "MOST", at_most(place, most))
    monkeypatch.setattr(local, "RANGE_BYTES", 1000)
    monkeypatch.setattr(local, "Pool", Here)
    for jobs in (2, 5):
        assert written(analyse([str(path)], work=Work(jobs=jobs))) == written(analyse([str(path)], work=Work(jobs=1)))
