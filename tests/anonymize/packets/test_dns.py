"""DNS messages with other names: what dnspython reads in the copy is what it read, mapped."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.rdatatype
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from analyzer.anonymize.key import Key
from analyzer.anonymize.packets.dns import edit_message
from analyzer.anonymize.packets.edit import Maps

MAPS = Maps(Key(bytes(range(32))))
RECORDS = [
    ("www.example.com.", "CNAME", "edge.example.net."),
    ("edge.example.net.", "A", "192.0.2.80"),
    ("edge.example.net.", "AAAA", "2001:db8::80"),
    ("example.com.", "MX", "10 mail.example.com."),
    ("_443._tcp.example.com.", "SRV", "1 2 443 www.example.com."),
    ("example.com.", "SOA", "ns1.example.com. admin.example.com. 1 2 3 4 5"),
    ("example.com.", "TXT", '"owner=alice"'),
    ("example.com.", "CAA", '0 issue "ca.example.net"'),
    ("example.com.", "NAPTR", '10 20 "u" "E2U+sip" "!alice!" sip.example.com.'),
    ("example.com.", "NSEC", "a.example.com. A MX"),
    ("example.com.", "RRSIG", "A 8 2 60 20261101000000 20261001000000 7 example.com. AAAA"),
    ("example.com.", "TLSA", "3 1 1 " + "ab" * 32),
    ("www.example.com.", "HTTPS", "1 svc.example.com. alpn=h3,h2 port=8443 ipv4hint=192.0.2.80 ipv6hint=2001:db8::80"),
]


def answer() -> bytes:
    query = dns.message.make_query("www.Example.com", "A", id=77)
    query.use_edns(options=[dns.edns.ECSOption("192.0.2.0", 24), dns.edns.CookieOption(b"abcdefgh", b"")])
    made = dns.message.make_response(query)
    made.use_edns(options=list(query.options))
    for owner, kind, content in RECORDS:
        made.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, content))
    return made.to_wire()


def name(text: str) -> str:
    return MAPS.names.text(text)


def test_names_and_addresses_are_mapped_and_everything_else_is_read_as_before() -> None:
    copy = edit_message(answer(), MAPS)
    assert len(copy) == len(answer())
    read = {}
    for rrset in dns.message.from_wire(copy).answer:
        owner = rrset.name.to_text(omit_final_dot=True).lower()
        read[f"{owner} {dns.rdatatype.to_text(rrset.rdtype)}"] = rrset[0]
    assert str(read[f"{name('www.example.com')} CNAME"].target).lower() == name("edge.example.net") + "."
    assert read[f"{name('edge.example.net')} A"].address == MAPS.addresses.text("192.0.2.80")
    assert read[f"{name('edge.example.net')} AAAA"].address == MAPS.addresses.text("2001:db8::80")
    assert read[f"{name('example.com')} MX"].to_text().lower() == f"10 {name('mail.example.com')}."
    assert read[f"{name('_443._tcp.example.com')} SRV"].to_text().lower() == f"1 2 443 {name('www.example.com')}."
    assert read[f"{name('example.com')} SOA"].to_text().lower().endswith(f"{name('admin.example.com')}. 1 2 3 4 5")
    service = read[f"{name('www.example.com')} HTTPS"].to_text().lower()
    assert f'{name("svc.example.com")}. alpn="h3,h2" port="8443"' in service
    assert f'ipv4hint="{MAPS.addresses.text("192.0.2.80")}"' in service
    assert f'ipv6hint="{MAPS.addresses.text("2001:db8::80")}"' in service
    assert read[f"{name('example.com')} NSEC"].to_text().lower().endswith(". a mx")
    assert read[f"{name('example.com')} NAPTR"].to_text().lower().endswith(f"{name('sip.example.com')}.")
    assert read[f"{name('example.com')} CAA"].to_text().startswith("0 issue ")
    assert read[f"{name('example.com')} TLSA"].to_text().startswith("3 1 1 ")
    [question] = dns.message.from_wire(copy).question
    assert question.name.to_text(omit_final_dot=True) == name("www.Example.com")


def test_what_is_private_is_gone() -> None:
    copy = edit_message(answer(), MAPS).lower()
    for private in (b"example", b"mail", b"alice", b"abcdefgh", b"admin", b"\xc0\x00\x02"):
        assert private in answer().lower()
        assert private not in copy


def test_a_subnet_of_the_client_is_mapped_as_its_addresses_are() -> None:
    [subnet] = [option for option in dns.message.from_wire(edit_message(answer(), MAPS)).options if option.otype == 8]
    assert subnet.address.rsplit(".", 1)[0] == MAPS.addresses.text("192.0.2.80").rsplit(".", 1)[0]
    assert subnet.srclen == 24


def test_every_prefix_is_safe() -> None:
    for length in range(len(answer())):
        copy = edit_message(answer()[:length], MAPS)
        assert len(copy) == length
        assert not any(private in copy.lower() for private in (b"xample", b"mail", b"alice")), length


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 3))
def test_no_bytes_raise_and_lengths_stay(content: bytes, questions: int, answers: int) -> None:
    message = b"\0\1\x81\0" + bytes([0, questions, 0, answers, 0, 1, 0, 1]) + content
    assert len(edit_message(message, MAPS)) == len(message)
    assert len(edit_message(content, MAPS)) == len(content)


def test_a_pointer_to_itself_ends() -> None:
    message = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\xc0\x0c\0\1\0\1"
    assert edit_message(message, MAPS) == message


def test_a_name_of_its_own_is_the_same_behind_a_pointer() -> None:
    query = dns.message.make_query("www.example.com", "A")
    copy = dns.message.from_wire(edit_message(query.to_wire(), MAPS))
    assert copy.question[0].name.to_text(omit_final_dot=True) == name("www.example.com")
