"""The mapping of addresses: a bijection that preserves prefixes and special ranges, and Crypto-PAn elsewhere."""

from __future__ import annotations

import ipaddress

import pytest
import yacryptopan
from hypothesis import example, given
from hypothesis import strategies as st

from analyzer.anonymize.addresses import Addresses, _kept_bits
from analyzer.anonymize.key import Key

KEY = bytes(range(100, 132))
ADDRESSES = Addresses(Key(KEY))
ORACLE = yacryptopan.CryptoPAn(KEY)

ipv4 = st.ip_addresses(v=4).map(lambda address: address.packed)
# Half of them below 2000::/3, where most addresses of the world are.
ipv6 = st.ip_addresses(v=6).map(lambda a: a.packed) | st.ip_addresses(v=6, network="2000::/3").map(lambda a: a.packed)
same_family = st.tuples(ipv4, ipv4) | st.tuples(ipv6, ipv6)

SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("224.0.0.0/4", "240.0.0.0/4", "fc00::/8", "fd00::/8", "fe80::/10", "fe80::/64", "ff00::/8"),
)


def shared_bits(a: bytes, b: bytes) -> int:
    return 8 * len(a) - (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_length()


@given(same_family)
def test_two_addresses_share_as_many_leading_bits_as_before(pair: tuple[bytes, bytes]) -> None:
    a, b = pair
    assert shared_bits(ADDRESSES.packed(a), ADDRESSES.packed(b)) == shared_bits(a, b)  # so it is injective, too


@given(ipv4 | ipv6)
def test_flips_are_those_of_crypto_pan(address: bytes) -> None:
    if address[:12] in (bytes(12), bytes(10) + b"\xff\xff", b"\x00\x64\xff\x9b" + bytes(8)):
        return  # holds an IPv4 address, and is mapped as that
    bits = 8 * len(address)
    kept = _kept_bits(int.from_bytes(address, "big"), bits, address)
    there = int(ipaddress.ip_address(ORACLE.anonymize(str(ipaddress.ip_address(address)))))
    mine, was = int.from_bytes(ADDRESSES.packed(address), "big"), int.from_bytes(address, "big")
    assert mine ^ was == (there ^ was) & ((1 << (bits - kept)) - 1)


@given(ipv4 | ipv6)
@example(ipaddress.ip_address("192.168.0.1").packed)
@example(ipaddress.ip_address("192.0.2.80").packed)
@example(ipaddress.ip_address("fe80::1").packed)
def test_special_ranges_are_mapped_into_themselves_and_nothing_else_into_them(address: bytes) -> None:
    before, after = ipaddress.ip_address(address), ipaddress.ip_address(ADDRESSES.packed(address))
    assert before.version == after.version
    for network in map(ipaddress.ip_network, SPECIAL):
        assert (before in network) is (after in network)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "127.0.0.1", "127.3.2.1", "224.0.0.251", "239.1.2.3", "255.255.255.255", "::", "::1", "ff02::fb"],
)
def test_these_stay(address: str) -> None:
    assert ADDRESSES.text(address) == address


@pytest.mark.parametrize(
    "address", ["192.0.2.80", "198.51.100.7", "203.0.113.9", "2001:db8::80", "10.0.0.1", "fd00::1"]
)
def test_documentation_and_private_addresses_do_not_stay(address: str) -> None:
    assert ADDRESSES.text(address) != address


def test_an_ipv4_address_inside_an_ipv6_one_is_mapped_as_ipv4() -> None:
    inner = ipaddress.ip_address(ADDRESSES.text("198.51.100.7"))
    assert ADDRESSES.text("64:ff9b::198.51.100.7") == str(ipaddress.ip_address(0x64FF9B << 96 | int(inner)))
    assert ipaddress.IPv6Address(ADDRESSES.text("::ffff:198.51.100.7")).ipv4_mapped == inner


def test_solicited_node_multicast_keeps_its_prefix_only() -> None:
    mapped = ADDRESSES.text("ff02::1:ff12:3456")
    assert mapped.startswith("ff02::1:ff")
    assert mapped != "ff02::1:ff12:3456"


@given(st.binary(min_size=6, max_size=6))
def test_link_addresses_become_local_ones_of_one_station(address: bytes) -> None:
    made = ADDRESSES.link(address)
    if address[0] & 1 or not any(address):
        assert made == address
    else:
        assert made[0] & 3 == 2
        assert made == ADDRESSES.link(address)


def test_an_ipv6_group_on_ethernet_follows_its_address() -> None:
    destination = ipaddress.ip_address(ADDRESSES.text("ff02::1:ff12:3456")).packed
    assert ADDRESSES.group_link(bytes.fromhex("3333ff123456"), destination) == b"\x33\x33" + destination[-4:]
    assert ADDRESSES.group_link(b"\xff" * 6, destination) == b"\xff" * 6
