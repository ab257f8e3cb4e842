"""The rows of selected packets: one list of columns, written twice, and their types."""

from __future__ import annotations

import numpy as np

from analyzer.events import selected
from analyzer.events.scan import LEDGER
from analyzer.events.selected import SELECTED_DTYPES, Selected


def test_column_numbers_are_those_of_the_fields() -> None:
    assert [getattr(selected, name.upper()) for name in Selected._fields] == list(range(len(Selected._fields)))


def test_each_column_has_the_type_of_its_annotation() -> None:
    assert len(SELECTED_DTYPES) == len(Selected._fields)
    assert SELECTED_DTYPES[selected.RECORD] == np.int64
    assert SELECTED_DTYPES[selected.REASON] == np.int8
    assert SELECTED_DTYPES[selected.SEQUENCE] == np.uint32


def test_the_kernel_counts_the_columns_of_the_ledger() -> None:
    for number, name in enumerate(LEDGER[: selected.UNREAD_LINK_TYPE + 1]):
        assert getattr(selected, name.upper()) == number
