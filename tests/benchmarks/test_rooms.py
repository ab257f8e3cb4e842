"""Where the time goes: samples of a run that belong to rooms, and the section that is made of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.rooms import CLI, HEADING, ROOMS, START, kernel_place, replaced, rows_of, sampled


def test_the_time_of_a_run_belongs_to_rooms(silent_capture: Path) -> None:
    seconds = sampled(silent_capture)
    assert {room for room, _ in seconds} <= {START, *ROOMS, CLI}
    assert seconds[START, "Python"] > 0
    assert 0.05 < sum(seconds.values()) < 60


def test_a_kernel_belongs_to_the_room_of_its_module() -> None:
    import analyzer.analysis  # noqa: F401

    assert kernel_place("walk_pcap") == ("capture", "kernel walk_pcap")
    assert kernel_place("track_flows") == ("events", "kernel track_flows")


def test_rows_have_means_shares_and_the_largest_parts() -> None:
    run = Counter({("events", "scan"): 0.3, ("events", "tcp"): 0.001, ("reports", "text"): 0.099})
    assert rows_of([run, Counter()]) == [
        "| events | 150 ms | 75% | scan 150 |",
        "| reports | 50 ms | 25% | text 50 |",
        "| all | 200 ms | | |",
    ]


def test_the_section_takes_the_place_of_the_one_before() -> None:
    once = replaced("# Page\n\n| a |\n", [HEADING, "", "one", ""])
    assert once == f"# Page\n\n| a |\n\n{HEADING}\n\none\n"
    assert replaced(once, [HEADING, "", "two", ""]) == once.replace("one", "two")
