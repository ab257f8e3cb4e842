"""Facts and columns of records."""

from __future__ import annotations

import numpy as np

from analyzer.capture.records import CaptureFacts, Records, clean_text, new_records, part, views


def records_at(*times: int) -> Records:
    records = new_records(len(times))
    records.time[:] = times
    return records


def test_facts_count_records_and_keep_the_earliest_and_the_latest_time() -> None:
    facts = CaptureFacts("made", "made")
    facts.saw(records_at())
    facts.saw(records_at(-1))
    assert (facts.records, facts.untimed, facts.first_time, facts.last_time) == (1, 1, -1, -1)
    facts.saw(records_at(50, -1, 30))
    facts.saw(records_at(40, 20))
    assert (facts.records, facts.untimed, facts.first_time, facts.last_time) == (6, 2, 20, 50)


def test_a_part_and_a_view_share_the_bytes_of_the_columns() -> None:
    records = records_at(1, 2, 3, 4)
    part(records, 1, 3).time[0] = 20
    views(records).time[2] = 30
    assert records.time.tolist() == [1, 20, 30, 4]
    assert all(column.dtype == np.int64 for column in records)


def test_text_of_a_capture_has_no_control_characters() -> None:
    assert clean_text("a\x1b[31m\r\nb\u202e\x00") == "a [31m  b  "
    assert clean_text("größer 日本") == "größer 日本"
    assert len(clean_text("x" * 10_000)) == 4096
