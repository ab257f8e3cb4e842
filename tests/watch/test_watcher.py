"""Rotated files are taken once each, in order; connections go on from file to file; nothing is counted twice."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from analyzer.analysis import analyse
from analyzer.errors import UsageError
from analyzer.watch.state import Store
from tests.running import call
from tests.watch.rotated import BEGAN, Watched, pieces, result, rotate, write
from tests.watch.test_metrics import samples


def attempts(watched: Watched) -> dict[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], float] = {}
    for (name, labels), value in samples(watched.watcher.metrics()).items():
        if name == "halfshake_attempts_total":
            plain = dict(labels)
            found[plain["kind"], plain["family"], plain["outcome"]] = value
    return found


def files(watched: Watched) -> dict[str, float]:
    every = samples(watched.watcher.metrics()).items()
    return {dict(labels)["result"]: value for (name, labels), value in every if name == "halfshake_files_total"}


def test_the_files_of_a_series_are_judged_as_one_capture(tmp_path: Path) -> None:
    paths = rotate(tmp_path / "in", 6)
    watched = Watched(tmp_path / "in", tmp_path / "state")
    assert watched.steps() == 6
    expected = analyse([str(path) for path in paths])
    assert watched.patterns == sorted(f.pattern for f in expected.found if f.severity in ("error", "warning"))
    for socket in expected.sockets.rows():
        kind = {"udp": "quic-initial", "tcp": "tcp-syn"}[socket["transport"]]
        for outcome in ("answered", "refused", "silent"):
            assert attempts(watched).get((kind, socket["family"], outcome), 0) == socket[outcome]
    assert watched.steps() == 0
    assert watched.complaints == []


def test_a_file_is_taken_when_the_next_one_is_there(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "in", tmp_path / "state")
    for number, captured in enumerate(pieces(4)):
        write(tmp_path / "in", number, captured)
        now_ns = (BEGAN + 60 * number + 1) * 1_000_000_000
        assert watched.steps(now_ns=now_ns) == (number > 0)
    assert watched.steps(now_ns=now_ns + 8_000_000_000) == 0
    assert watched.steps(now_ns=now_ns + 9_000_000_000) == 1
    assert files(watched) == {"taken": 4}


@pytest.mark.parametrize("stop", range(1, 5))
def test_a_watcher_that_starts_again_goes_on(stop: int, tmp_path: Path) -> None:
    rotate(tmp_path / "in", 5)
    straight = Watched(tmp_path / "in", tmp_path / "straight")
    straight.steps()
    first = Watched(tmp_path / "in", tmp_path / "state")
    first.steps(stop)
    second = Watched(tmp_path / "in", tmp_path / "state")
    second.steps()
    assert result(second.state) == result(straight.state)
    assert first.said + second.said == straight.said


def test_a_finding_is_said_once_and_again_after_it_was_away(tmp_path: Path) -> None:
    rotate(tmp_path / "in", 5)
    watched = Watched(tmp_path / "in", tmp_path / "state", window_ns=1)
    watched.steps()
    said = len(watched.said)
    far = [one._replace(time=one.time + 3_600_000_000_000) for one in pieces(1)[0]]
    write(tmp_path / "in", 10, far)
    watched.steps()
    assert len(watched.said) > said
    assert len({finding["pattern"] for finding in watched.said}) < len(watched.said)


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "gone"])
def test_a_damaged_file_breaks_the_series_and_is_named(damage: str, tmp_path: Path) -> None:
    """What is missing behind it may have been in it: silence over the break is not said."""
    paths = rotate(tmp_path / "in", 3)
    watched = Watched(tmp_path / "in", tmp_path / "state")
    if damage == "gone":
        assert watched.steps(1) == 1
        paths[1].unlink()
    elif damage == "cut":
        paths[1].write_bytes(paths[1].read_bytes()[:-7])
    else:
        paths[1].write_bytes(b"no capture at all" if damage == "text" else b"")
    if damage != "gone":
        os.utime(paths[1], (BEGAN + 60, BEGAN + 60))
    watched.steps()
    (complaint,) = watched.complaints
    assert paths[1].name in complaint
    assert files(watched) == {"taken": 2, {"gone": "vanished", "cut": "cut"}.get(damage, "unreadable"): 1}
    (series,) = watched.state.series.values()
    assert [taken.name for taken in series.window] == [paths[2].name]
    assert watched.steps() == 0


def test_a_file_that_grows_after_it_was_taken_replaces_itself(tmp_path: Path) -> None:
    whole = pieces(1)[0]
    folder = tmp_path / "in"
    watched = Watched(folder, tmp_path / "state")
    for count in (len(whole) // 3, len(whole) // 2, len(whole)):
        path = write(folder, 0, whole[:count])
        os.utime(path, (BEGAN + count, BEGAN + count))
        assert watched.steps() == 1
    straight = Watched(folder, tmp_path / "straight")
    straight.steps()
    assert attempts(watched) == attempts(straight)
    assert files(watched) == {"taken": 1}
    assert samples(watched.watcher.metrics())["halfshake_records_total", frozenset()] == len(whole)


def test_a_file_that_is_touched_or_copied_is_not_counted_again(tmp_path: Path) -> None:
    path = rotate(tmp_path / "in", 2)[1]
    watched = Watched(tmp_path / "in", tmp_path / "state")
    watched.steps()
    before = watched.watcher.metrics()
    shutil.copy(path, tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    watched.steps()
    assert watched.watcher.metrics() == before


def test_a_name_that_is_used_again_is_another_file(tmp_path: Path) -> None:
    one, two = pieces(2)
    path = write(tmp_path / "in", 0, one)
    watched = Watched(tmp_path / "in", tmp_path / "state")
    watched.steps()
    write(tmp_path / "in", 0, two)
    os.utime(path, (BEGAN + 90, BEGAN + 90))
    watched.steps()
    assert files(watched) == {"taken": 2}
    assert [taken.name for taken in watched.state.series["web"].window] == [path.name] * 2


def test_old_files_leave_the_window(tmp_path: Path) -> None:
    rotate(tmp_path / "in", 6)
    watched = Watched(tmp_path / "in", tmp_path / "state", window_ns=500_000_000)
    watched.steps()
    series = watched.state.series["web"]
    assert 0 < len(series.window) < 6
    kept = {f"{taken.number:09d}.scan" for taken in series.window}
    assert {path.name for path in (tmp_path / "state").iterdir()} == kept | {"state.json"}
    straight = Watched(tmp_path / "in", tmp_path / "straight")
    straight.steps()
    assert sum(attempts(watched).values()) >= sum(attempts(straight).values())


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    rotate(tmp_path / "in", 4)
    watched = Watched(tmp_path / "in", tmp_path / "state")
    watched.steps(1)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with mock.patch("analyzer.watch.state.written_whole", side_effect=full):
        assert watched.steps() == 3
    assert len(watched.complaints) == 1
    assert "No space left" in watched.complaints[0]
    assert len(watched.said) > 0
    assert watched.watcher.save()
    again = Watched(tmp_path / "in", tmp_path / "state")
    assert result(again.state) == result(watched.state)
    assert again.steps() == 0


def test_killed_before_the_state_was_written(tmp_path: Path) -> None:
    """A scan that no page names is removed, and the file is taken again."""
    rotate(tmp_path / "in", 3)
    straight = Watched(tmp_path / "in", tmp_path / "straight")
    straight.steps()
    watched = Watched(tmp_path / "in", tmp_path / "state")
    watched.steps(1)
    real = Store.save

    def dies(store: Store, state: Any) -> None:
        with mock.patch("analyzer.watch.state._plain", side_effect=KeyboardInterrupt):
            real(store, state)

    with mock.patch.object(Store, "save", dies), pytest.raises(KeyboardInterrupt):
        watched.steps()
    assert (tmp_path / "state" / "000000002.scan").exists()
    again = Watched(tmp_path / "in", tmp_path / "state")
    again.steps()
    assert result(again.state) == result(straight.state)


def test_a_lost_scan_leaves_the_window(tmp_path: Path) -> None:
    rotate(tmp_path / "in", 3)
    watched = Watched(tmp_path / "in", tmp_path / "state")
    watched.steps(2)
    (tmp_path / "state" / "000000001.scan").write_bytes(b"PK\x03\x04 damaged")
    again = Watched(tmp_path / "in", tmp_path / "state")
    again.steps()
    (complaint,) = again.complaints
    assert "left out of the window" in complaint


def test_another_page_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    for content in ("", "[]", '{"schema": "halfshake-watch/0"}', '{"schema": "halfshake-watch/1"}'):
        (state / "state.json").write_text(content)
        with pytest.raises(UsageError):
            Store(state).load()


def test_the_command(tmp_path: Path) -> None:
    rotate(tmp_path / "in", 3)
    page = tmp_path / "halfshake.prom"
    done = call("watch", tmp_path / "in", "--once", "--json", "--settle", "0", "--metrics", page)
    assert done.status == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert "quic-initial-no-reply" in {finding["pattern"] for finding in found}
    assert samples(page.read_text())["halfshake_records_total", frozenset()] == len(pieces(1)[0])
    assert call("watch", tmp_path / "in", "--once", "--settle", "0").stdout == ""
    assert "not an address of this machine" in call("watch", tmp_path / "in", "--listen", "0.0.0.0:0").stderr
