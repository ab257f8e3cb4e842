"""The stories of the events room as a table."""

from __future__ import annotations

from typing import Any

from analyzer.columns import Table
from analyzer.events.connection import Connection
from analyzer.events.story.story import Story
from analyzer.exchanges.connections import Judge
from analyzer.exchanges.stories.schema import STORIES
from analyzer.wire.quic.split import HANDSHAKE, INITIAL, OTHER_LONG, RETRY, VERSION_NEGOTIATION, ZERO_RTT
from analyzer.wire.quic.summary import SHORT_BIT
from analyzer.wire.quic.transport_parameters import MAX_IDLE_TIMEOUT, TransportParameters, read_transport_parameters

_SECOND = 1_000_000_000
_KINDS = (
    (1 << INITIAL | 1 << OTHER_LONG, "initial"),
    (1 << ZERO_RTT, "0-rtt"),
    (1 << HANDSHAKE, "handshake"),
    (1 << RETRY, "retry"),
    (1 << VERSION_NEGOTIATION, "version-negotiation"),
    (SHORT_BIT, "1-rtt"),
)


def stories_table(judge: Judge) -> Table:
    """One row for each connection with a story."""
    rows = [
        {"connection": f"C{place + 1}"} | _row(connection, connection.story)
        for place, connection in zip(*judge.connections.objects(), strict=True)
        if connection.story is not None
    ]
    return Table.from_rows("stories", STORIES, rows)


def _row(connection: Connection, story: Story) -> dict[str, Any]:
    """All columns but the first."""
    return _handshake(connection, story) | _stall(story) | _ending(connection, story) | _resets(story)


def _handshake(connection: Connection, story: Story) -> dict[str, Any]:
    read = story.initials
    return {
        "client_sent": _words(story.client_kinds),
        "server_sent": _words(story.server_kinds),
        "completed": story.completed,
        "round_trip_s": story.round_trip / _SECOND if story.round_trip >= 0 else float("nan"),
        "hello_read": story.real_client,
        "hello_missing": _ranges(read.missing()) if story.real_client else "",
        "hello_acked_time": read.ack_time if read.acked_whole else -1,
        "server_crypto": read.server_crypto or connection.server_crypto,
        "unread_initials": read.unread,
        "versions_offered": _versions(read.offered),
        "versions_listed": _versions(read.listed),
        "server_version": _versions([read.server_version] if read.server_version >= 0 else []),
        "compatible": read.server_version >= 0 and _offers(connection, read.server_version),
        "retries": len(read.retries),
        "token_sent": bool(read.token),
        "token_echo_time": read.echo_time,
        "retried_again": read.retried_again,
        "echo_answered": read.answered_echo,
        "close_by_application": story.close is not None and story.close.by_application,
        "close_shape": story.close_shape,
    }


def _stall(story: Story) -> dict[str, Any]:
    stall = story.stall
    return {
        "server_first_time": story.server_first,
        "client_last_time": story.client_last,
        "server_last_time": story.server_last,
        "client_after": story.client_after,
        "server_after": story.server_after,
        "stall_s": stall.pause / _SECOND if stall.pause >= 0 else -1.0,
        "stall_time": stall.time,
        "stall_client_bytes": stall.client_bytes,
        "stall_server_bytes": stall.server_bytes,
        "stall_fed": stall.fed,
        "stall_client_spoke": stall.client_spoke,
    }


def _ending(connection: Connection, story: Story) -> dict[str, Any]:
    ending = story.ending
    return {
        "silent_side": ending.silent,
        "silent_since": ending.since,
        "unanswered_from": ending.first,
        "unanswered_until": ending.last,
        "unanswered_packets": ending.packets,
        "idle_timeout_s": _idle_timeout(_parameters(connection)) if ending.silent else float("nan"),
        "silent_path": str(story.silent_path.client) if story.silent_path is not None else "",
        "silent_path_packets": story.path_packets,
        "silent_path_from": story.path_first,
        "silent_path_until": story.path_last,
    }


def _resets(story: Story) -> dict[str, Any]:
    resets = story.resets
    return {
        "resets": resets.repeats,
        "resets_side": resets.side,
        "resets_from": resets.first,
        "resets_until": resets.last,
        "resets_proved": resets.proved,
        "resets_by_token": resets.by_token,
        "resets_on_new_path": resets.on_new_path,
    }


def _words(kinds: int) -> str:
    return ",".join(word for bits, word in _KINDS if kinds & bits)


def _versions(versions: list[int]) -> str:
    return ",".join(f"0x{version:08x}" for version in versions)


def _ranges(holes: list[tuple[int, int]]) -> str:
    """``bytes 140 to 148, and all from byte 1170 on``."""
    words = [f"from byte {low} on" if high < 0 else f"bytes {low} to {high - 1}" for low, high in holes]
    return " and ".join(words)


def _parameters(connection: Connection) -> TransportParameters | None:
    hello = connection.hello
    if hello is None or hello.transport_parameters is None:
        return None
    return read_transport_parameters(hello.transport_parameters)


def _offers(connection: Connection, version: int) -> bool:
    """RFC 9368 §3: whether the client's version_information offers a version."""
    parameters = _parameters(connection)
    return parameters is not None and version in parameters.versions()[1]


def _idle_timeout(parameters: TransportParameters | None) -> float:
    """RFC 9000 §18.2: milliseconds; 0 or absent: none."""
    value = parameters.integer(MAX_IDLE_TIMEOUT) if parameters is not None else -1
    return value / 1000 if value > 0 else float("nan")
