"""DNS messages: recorded, made by dnspython, damaged and cut anywhere."""

from __future__ import annotations

import dns.message
import dns.rrset
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.wire.dns import Message, _read, _read_question, read_message, read_stream

# Records 3 and 4 of captures/03-haproxy-ocsp-ipv6/noroute-default/haproxy-side.pcap, their UDP payload.
QUESTION = bytes.fromhex(
    "8af50100000100000000000104 6f637370 07 6578616d706c65 03 636f6d 00 001c 0001 00 0029 2000 00000000 0000".replace(
        " ", ""
    )
)


def answer_to(name: str, kind: str, *records: tuple[str, str, str], code: int = 0) -> bytes:
    """An answer with records (owner, type, data)."""
    answer = dns.message.make_response(dns.message.make_query(name, kind, id=0x1234))
    answer.set_rcode(code)
    for owner, record, content in records:
        answer.answer.append(dns.rrset.from_text(owner, 60, "IN", record, content))
    return answer.to_wire()


def read(b: bytes) -> Message:
    found = read_message(b)
    assert found is not None
    return found[1]


def test_recorded_question() -> None:
    assert read_message(QUESTION) == (0x8AF5, Message(False, False, True, "", "ocsp.example.com", "AAAA"))


def test_aliases_lead_to_addresses() -> None:
    answer = answer_to(
        "WWW.Example.com.", "A",
        ("www.example.com.", "CNAME", "a.cdn.example."), ("a.cdn.example.", "CNAME", "b.cdn.example."),
        ("b.cdn.example.", "A", "192.0.2.1"), ("b.cdn.example.", "A", "192.0.2.2"),
        ("other.example.", "A", "192.0.2.9"),
    )  # fmt: skip
    message = read(answer)
    assert (message.is_answer, message.code, message.name) == (True, "NOERROR", "www.example.com")
    assert message.addresses == ("192.0.2.1", "192.0.2.2")
    assert message.aliases == ("a.cdn.example", "b.cdn.example")


def test_a_loop_of_aliases_ends() -> None:
    loop = answer_to("a.example.", "A", ("a.example.", "CNAME", "b.example."), ("b.example.", "CNAME", "a.example."))
    assert read(loop).addresses == ()


def test_https_records() -> None:
    content = "1 . alpn=h3,h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1"
    message = read(answer_to("example.com.", "HTTPS", ("example.com.", "HTTPS", content)))
    assert message.alpn == ("h3", "h2")
    assert message.hints == ("192.0.2.1", "2001:db8::1")
    assert message.addresses == ()


def test_errors_and_truncation() -> None:
    assert read(answer_to("example.com.", "A", code=2)).code == "SERVFAIL"
    truncated = bytearray(answer_to("example.com.", "A"))
    truncated[2] |= 2
    assert read(bytes(truncated)).is_truncated


def test_what_is_no_question() -> None:
    assert read_message(b"") is None
    assert read_message(bytes(40)) is None
    assert read_message(QUESTION[:2] + b"\x28" + QUESTION[3:]) is None  # an update (RFC 2136)
    assert read_message(QUESTION.replace(b"\x00\x1c\x00\x01", b"\x00\x1c\x00\x03")) is None  # class CHAOS


def test_every_prefix_of_an_answer() -> None:
    whole = answer_to("example.com.", "A", ("example.com.", "A", "192.0.2.1"), ("example.com.", "A", "192.0.2.2"))
    sizes = []
    for length in range(len(whole)):
        found = read_message(whole[:length])
        if found is not None:
            assert found[1].is_cut
            sizes.append(len(found[1].addresses))
    assert sizes == sorted(sizes)
    assert sizes[-1] == 1
    assert not read(whole).is_cut


@settings(deadline=None, derandomize=True)
@given(st.data())
def test_damaged_answers_never_raise(data: st.DataObject) -> None:
    content = bytearray(answer_to("example.com.", "HTTPS", ("example.com.", "HTTPS", "1 . alpn=h3 ipv4hint=192.0.2.1")))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    found = read_message(bytes(content))
    assert found is None or isinstance(found[1].name, str)


@given(st.binary(max_size=80))
def test_any_bytes_never_raise(b: bytes) -> None:
    read_message(b)
    assert sum(2 + len(message) for message in read_stream(b)) <= len(b) + 2


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.text("abcXYZ019-_", min_size=1, max_size=12), min_size=1, max_size=4),
    st.sampled_from(["A", "AAAA", "HTTPS", "NS", "TXT"]),
    st.booleans(),
    st.data(),
)
def test_the_fast_reader_of_questions_reads_as_dnspython_does(
    labels: list[str], kind: str, edns: bool, data: st.DataObject
) -> None:
    whole = dns.message.make_query(".".join(labels) + ".", kind, id=1, use_edns=0 if edns else None).to_wire()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 2))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(17, len(content)))]
    if content[2] < 128 and (content[2] >> 3) & 15 == 0 and content[4:6] == b"\0\1":
        fast = _read_question(bytes(content))
        assert fast is None or fast == _read(bytes(content[2:]))
    assert _read_question(whole) is not None or kind == "NS"


def test_messages_over_tcp() -> None:
    stream = b"\x00\x03abc\x00\x02de\x00\x05f"
    assert list(read_stream(stream)) == [b"abc", b"de", b"f"]
