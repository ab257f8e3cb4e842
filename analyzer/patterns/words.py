"""Words that patterns share: numbers with their units, sockets, families, and Wireshark display filters."""

from __future__ import annotations

from collections.abc import Sequence

FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6", "both": "IPv4 and IPv6"}
MOST_FILTER = 1000  # characters of a display filter: the report document's contract
MOST_TERMS = 5
_ADDRESS_FIELD = {"ipv4": "ip.addr", "ipv6": "ipv6.addr"}


def counted(count: int, noun: str) -> str:
    """``1 attempt``, ``2 attempts``, ``2 tries``."""
    if count == 1:
        return f"1 {noun}"
    ending = "es" if noun.endswith(("s", "x")) else "s"
    plural = noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + ending
    return f"{count:,} {plural}"


def share(part: int, whole: int, noun: str) -> str:
    """``3 of 5 attempts``, ``all 3 attempts``, ``the only attempt``."""
    if whole == 1:
        return f"the only {noun}"
    return f"all {counted(whole, noun)}" if part == whole else f"{part:,} of {counted(whole, noun)}"


def any_of(count: int, noun: str) -> str:
    """``the attempt``, ``any of the 3 attempts``."""
    return f"the {noun}" if count == 1 else f"any of the {counted(count, noun)}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def seconds(ns: int) -> str:
    """A duration for a sentence: ``0.204 s``, ``4.0 s``, ``126 s``."""
    value = ns / 1_000_000_000
    return f"{value:.3f} s" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def socket_words(address: str, port: int) -> str:
    """``192.0.2.80:443``, ``[2001:db8::80]:443``; the address alone without a port."""
    if port < 0:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """``a``, ``a and b``, ``a, b, c and 4 more``."""
    shown = list(words[:most])
    if len(words) > most:
        return f"{', '.join(shown)} and {len(words) - most:,} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def one_of_addresses(family: str, addresses: Sequence[str]) -> str:
    """The display filter term for packets from or to one of a few addresses; the whole family where they are many."""
    if len(addresses) > MOST_TERMS:
        return {"ipv4": "ip", "ipv6": "ipv6"}[family]
    terms = [f"{_ADDRESS_FIELD[family]} == {address}" for address in addresses]
    return terms[0] if len(terms) == 1 else f"({' || '.join(terms)})"


def one_of_ports(protocol: str, ports: Sequence[int]) -> str:
    """The display filter term for one of a few ports; the whole protocol where they are many."""
    if len(ports) > MOST_TERMS:
        return protocol
    if len(ports) == 1:
        return f"{protocol}.port == {ports[0]}"
    return f"{protocol}.port in {{{', '.join(str(port) for port in ports)}}}"


def frames_filter(numbers: Sequence[int], otherwise: str) -> str:
    """A display filter for these record numbers; ``otherwise`` where it would be longer than ``MOST_FILTER``."""
    chosen = f"frame.number in {{{', '.join(str(number) for number in numbers)}}}"
    return chosen if numbers and len(chosen) <= MOST_FILTER else otherwise


def conversation_filter(base: str, protocol: str, *, ports: Sequence[int], span: tuple[int, int]) -> str:
    """``base`` narrowed to client ports, or to the time ``span`` (ns) where the ports would not fit."""
    distinct = {port for port in ports if port >= 0}
    if distinct and len(distinct) * len("1, ") <= MOST_FILTER:
        narrowed = f"{base} && {protocol}.port in {{{', '.join(str(port) for port in sorted(distinct))}}}"
        if len(narrowed) <= MOST_FILTER:
            return narrowed
    first, last = span[0] // 1_000_000_000, span[1] // 1_000_000_000 + 1
    return f"{base} && frame.time_epoch >= {first} && frame.time_epoch <= {last}" if span[0] >= 0 else base
