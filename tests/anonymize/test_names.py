"""The mapping of names: of the same shape, one to one, and the same wherever a name shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.key import Key
from analyzer.anonymize.names import Names

NAMES = Names(Key(bytes(range(32))))
labels = st.binary(min_size=1, max_size=20).filter(lambda label: b"." not in label)


@given(st.lists(labels, min_size=1, max_size=4), st.lists(labels, min_size=1, max_size=4))
def test_different_names_stay_different_and_equal_ones_equal(a: list[bytes], b: list[bytes]) -> None:
    lower = [[label.lower() for label in name] for name in (a, b)]
    made = [[label.lower() for label in NAMES.labels(name)] for name in (a, b)]
    assert (made[0] == made[1]) is (lower[0] == lower[1])
    assert [len(label) for label in made[0]] == [len(label) for label in a]


@given(st.from_regex(r"[a-zA-Z0-9-]{1,20}(\.[a-z0-9]{2,9}){1,3}", fullmatch=True))
def test_letters_digits_and_cases_keep_their_places(name: str) -> None:
    def shape(text: str) -> str:
        return "".join("A" if c.isupper() else "a" if c.islower() else "0" if c.isdigit() else c for c in text)

    made = NAMES.text(name)
    if "ocsp" not in name.lower():
        assert shape(made) == shape(name)
    assert made.lower() == NAMES.text(name.lower())
    assert made.encode() == NAMES.name(name.encode())


def test_names_below_one_domain_stay_below_one_domain() -> None:
    a, b = NAMES.text("www.example.com"), NAMES.text("api.example.com")
    assert a.split(".")[1:] == b.split(".")[1:]
    assert a.split(".")[0] != b.split(".")[0]
    assert NAMES.text("www.example.org").split(".")[0] != a.split(".")[0]


def test_service_labels_and_the_word_of_a_role_stay() -> None:
    assert NAMES.text("_443._tcp.example.com").startswith("_443._tcp.")
    assert NAMES.text("ocsp.example.com").startswith("ocsp.")
    assert NAMES.text("r3-ocsp2.example.com").split(".")[0].endswith("-ocsp2")


@given(st.binary(max_size=60))
def test_text_of_tables_and_bytes_of_the_wire_become_the_same(name: bytes) -> None:
    if b"\\" in name:
        return  # the text of a backslash cannot be told from the one that begins an escape
    made = NAMES.name(name)
    assert NAMES.text(name.decode("ascii", "backslashreplace")) == made.decode("ascii", "backslashreplace")


@given(st.binary(max_size=200))
def test_scrambled_text_keeps_length_and_form(text: bytes) -> None:
    made = NAMES.scrambled(text)
    assert made == NAMES.scrambled(text)
    assert len(made) == len(text)
    assert [c in b"/?&= " for c in made] == [c in b"/?&= " for c in text]


def test_scrambled_text_is_another() -> None:
    assert NAMES.scrambled(b"/status/alice?token=12345678") != b"/status/alice?token=12345678"
