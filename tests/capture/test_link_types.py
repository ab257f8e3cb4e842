"""Link types have the names that a person can look up."""

from __future__ import annotations

import pytest

from analyzer.capture.link_types import LINK_TYPES, link_type_name


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "LINKTYPE_ETHERNET (1)"),
        (105, "LINKTYPE_IEEE802_11 (105)"),
        (150, "LINKTYPE_USER3 (150)"),
        (276, "LINKTYPE_LINUX_SLL2 (276)"),
        (65_000, "a link type without a name here (65000)"),
    ],
)
def test_names(number: int, name: str) -> None:
    assert link_type_name(number) == name


def test_every_name_belongs_to_one_number() -> None:
    assert len(set(LINK_TYPES.values())) == len(LINK_TYPES)
