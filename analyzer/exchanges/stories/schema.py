"""The table of stories: facts about QUIC connections that did not simply complete and end, for patterns alone.

One row for each such connection; times are -1 and texts empty where there is nothing to say.
"""

from __future__ import annotations

from analyzer.columns import Column, Schema, Table


def _c(name: str, kind: str, unit: str, meaning: str) -> Column:
    return Column(name, kind, unit, meaning, public=False)


STORIES: Schema = (
    _c("connection", "text", "", "the connection of the connections table"),
    _c("client_sent", "text", "", "kinds of QUIC packets of the client: initial, handshake, 1-rtt, ..., by commas"),
    _c("server_sent", "text", "", "kinds of QUIC packets of the server, retry and version-negotiation too"),
    _c("completed", "bool", "", "1-RTT packets of the client, and of the server after them"),
    _c("round_trip_s", "float", "s", "estimated round trip"),
    _c("hello_read", "bool", "", "some of the client's ClientHello was read"),
    _c("hello_missing", "text", "", "ranges of the ClientHello that are missing, in words"),
    _c("hello_acked_time", "time", "ns", "first server ACK, where the whole ClientHello was acknowledged in the end"),
    _c("server_crypto", "bool", "", "CRYPTO of the server was read in an Initial"),
    _c("unread_initials", "int", "", "server Initials that could not be opened"),
    _c("versions_offered", "text", "", "versions of the client's Initials, hex, by commas"),
    _c("versions_listed", "text", "", "versions of the first Version Negotiation, hex, by commas"),
    _c("server_version", "text", "", "version of the server's long headers, hex"),
    _c("compatible", "bool", "", "the client's version_information offers the server's version"),
    _c("retries", "int", "", "Retry packets seen"),
    _c("token_sent", "bool", "", "the client's first Initial carried a token and no Retry had come"),
    _c("token_echo_time", "time", "ns", "first client Initial with the token of a Retry"),
    _c("retried_again", "bool", "", "a Retry came after the client had returned a token"),
    _c("echo_answered", "bool", "", "an Initial or Handshake packet of the server came after the token was returned"),
    _c("close_by_application", "bool", "", "the CONNECTION_CLOSE that was read is the application's"),
    _c("close_shape", "bool", "", "the end looks like a CONNECTION_CLOSE in a Handshake packet"),
    _c("server_first_time", "time", "ns", "first packet of the server"),
    _c("client_last_time", "time", "ns", "last selected packet of the client"),
    _c("server_last_time", "time", "ns", "last selected packet of the server"),
    _c("client_after", "int", "packets", "of the client after the server's first"),
    _c("server_after", "int", "packets", "of the server from its first on"),
    _c("stall_s", "float", "s", "longest pause of the server at the amplification limit; -1: nothing followed"),
    _c("stall_time", "time", "ns", "when that pause began"),
    _c("stall_client_bytes", "int", "bytes", "UDP payload from the client until then"),
    _c("stall_server_bytes", "int", "bytes", "UDP payload from the server until then"),
    _c("stall_fed", "int", "", "client datagrams that met the server at the limit"),
    _c("stall_client_spoke", "bool", "", "the client had answered the server before it"),
    _c("silent_side", "text", "", "client or server: who went silent while the other went on"),
    _c("silent_since", "time", "ns", "last packet of the silent side on any path"),
    _c("unanswered_from", "time", "ns", "first packet of the other side after it"),
    _c("unanswered_until", "time", "ns", "last packet of the other side"),
    _c("unanswered_packets", "int", "", "how many they were"),
    _c(
        "idle_timeout_s",
        "float",
        "s",
        "max_idle_timeout of the client where a side went silent; else not a number",
    ),
    _c("silent_path", "text", "", "socket of the client on a further path where the server sent nothing"),
    _c("silent_path_packets", "int", "", "packets of the client there"),
    _c("silent_path_from", "time", "ns", "first of them"),
    _c("silent_path_until", "time", "ns", "last of them"),
    _c("resets", "int", "", "datagrams of one side that end in one stateless reset token"),
    _c("resets_side", "text", "", "who sent them"),
    _c("resets_from", "time", "ns", "first of them that was kept"),
    _c("resets_until", "time", "ns", "last of them that was kept"),
    _c("resets_proved", "bool", "", "their last 16 bytes were compared and are the same"),
    _c("resets_by_token", "bool", "", "they end in a token that the side had issued, which secrets have shown"),
    _c("resets_on_new_path", "bool", "", "they came on another 4-tuple than the handshake"),
)


def no_stories() -> Table:
    """The table without rows."""
    return Table.from_rows("stories", STORIES, [])
