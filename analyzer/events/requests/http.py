"""The HTTP/1 requests of a connection, and the response to each.

How it works
------------
Messages are read from the beginning of each direction, one behind the other. Behind a hole, or a body whose end is not
known, reading goes on at the next segment that begins like a message. Responses answer requests in order (RFC 9112
§9.3); interim ones (1xx) come before the final one. After a hole among the responses, requests are passed over whose
answer must lie in it: the server had spoken after them, before the client sent its next one.

Reading ends where the protocol changes: behind the preface of HTTP/2, a 101, or a CONNECT that was accepted. The bytes
of its tunnel begin at ``Exchanged.tunnel``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from analyzer.events.connection import Connection, Flows
from analyzer.events.requests.request import HTTP, Details, Request
from analyzer.events.requests.status import tell_status
from analyzer.events.tcp.streams import Stream
from analyzer.wire.tls import is_record
from analyzer.wire.web.http1 import MOST_BODY, MOST_HEAD, HttpFlaw, HttpMessage, read_request, read_response
from analyzer.wire.web.openings import is_http_message

#: Messages of one direction that are read.
MOST_MESSAGES = 256

_MOST_WORDS = 200  # characters of a target in words
_SETTINGS = 4  # type of the frame with which an HTTP/2 server begins (RFC 9113 §3.4, §6.5)


class Found(NamedTuple):
    """A message at an offset of its stream; ``follows``: it begins just where the one before it ends."""

    at: int
    follows: bool
    message: HttpMessage


class Exchanged(NamedTuple):
    """The requests of a connection, and where a tunnel begins in both directions, None without one."""

    requests: list[Request]
    tunnel: tuple[int, int] | None


@dataclass(slots=True)
class _Asked:
    """A request on its way to a response."""

    found: Found
    rows: list[int]
    response: Found | None = None
    interim: Found | None = None  # the last 1xx before it


class _Reader:
    """Both directions of a connection whose client speaks HTTP."""

    def __init__(self, flows: Flows, connection: Connection, client: Stream, server: Stream) -> None:
        self.flows, self.connection, self.client, self.server = flows, connection, client, server
        self.heard = flows.scan.rows.other_bytes  # at a row of the client: bytes of the server so far

    def answer(self, asked: list[_Asked]) -> tuple[int, int] | None:
        """Give each request its response; returns where a tunnel begins."""
        k = 0

        def read(part: bytes) -> HttpMessage | None:
            return read_response(part, asked[min(k, len(asked) - 1)].found.message.method)

        for found in messages(self.server, self.server.begin, read):
            row = self.server.rows_at(found.at)[0]
            while not found.follows and k + 1 < len(asked) and self._is_passed_over(asked[k], asked[k + 1], row):
                k += 1
            if k == len(asked):
                break
            if asked[k].rows[0] > row:  # to a request that was not seen
                continue
            if found.message.is_interim:
                asked[k].interim = found
                continue
            asked[k].response = found
            request = asked[k].found
            if request.message.method == "CONNECT" and 200 <= found.message.status < 300:
                return request.at + max(request.message.end, 0), found.at + max(found.message.end, 0)
            k += 1
        return None

    def _is_passed_over(self, request: _Asked, following: _Asked, row: int) -> bool:
        """Whether a response in ``row`` must be to a later request than this one."""
        return following.rows[0] < row and bool(self.heard[request.rows[0]] < self.heard[following.rows[0]])

    def request(self, asked: _Asked, following: int) -> Request:
        """What became of one request; ``following`` is the row of the next one, -1 where there is none."""
        at, message, row = asked.found.at, asked.found.message, asked.rows[0]
        is_preface = message.method == "PRI"
        rows = [r for r in asked.rows if self._is_same_capture(r, row)]
        request = Request(self.connection, HTTP, rows, _name(message))
        request.is_whole = is_preface or self._is_whole(at, message)
        words = "HTTP/2 preface" if is_preface else f"{message.method} {message.target[:_MOST_WORDS]}"
        request.details = details = Details(words)
        response = asked.response or asked.interim
        if response is not None:
            request.reply_row = self.server.rows_at(response.at)[0]
            details.status, details.replied = response.message.status, f"HTTP {response.message.status}"
            details.alt_svc = response.message.fields.get("alt-svc", "")
            if response is asked.interim:
                details.replied += " and no final response"
            elif asked.interim is not None:
                details.replied = f"HTTP {asked.interim.message.status}, then {details.status}"
        else:
            is_first = at == self.client.begin and bool(self.connection.request_rows)
            spoke = [r for r in self.server.rows_at(self.server.begin) if r > row] if is_first else []
            if spoke:
                request.reply_row = spoke[0]
                details.replied = _other_words(self.server.behind(self.server.begin, 5))
            request.came = not spoke and self._heard_after(row, following) > 0
        details.notes = [(row, f"{words}, Host {request.name}" if request.name else words)]
        if details.replied:
            alternative = f", Alt-Svc {details.alt_svc[:_MOST_WORDS]}" if details.alt_svc else ""
            details.notes.append((request.reply_row, details.replied + alternative))
        return request

    def _is_same_capture(self, row: int, first: int) -> bool:
        capture = self.flows.scan.rows.capture
        return bool(capture[row] == capture[first])

    def _is_whole(self, at: int, message: HttpMessage) -> bool:
        """Whether all of a request was sent, by its announced length where its body was not kept."""
        if message.flaw != HttpFlaw.NONE:
            return False
        return message.end >= 0 or 0 <= at + message.announced <= self.connection.counters.client_bytes

    def _heard_after(self, row: int, following: int) -> int:
        """How many bytes of the server came after a request and before the next one."""
        if following >= 0:
            return int(self.heard[following] - self.heard[row])
        before = self.flows.before(self.connection.rows[0])[3 - self.connection.client_direction]
        return self.connection.counters.server_bytes - (int(self.heard[row]) - before)


def http_requests(
    flows: Flows, connection: Connection, client: Stream, server: Stream, *, is_responder: Callable[[str], bool]
) -> Exchanged:
    """The requests of a connection; ``is_responder`` says whether a certificate names a host as OCSP responder."""
    reader = _Reader(flows, connection, client, server)
    asked = [_Asked(found, client.rows_at(found.at)) for found in messages(client, client.begin, read_request)]
    tunnel = reader.answer(asked) if asked else None
    requests = []
    for k, each in enumerate(asked):
        following = asked[k + 1].rows[0] if k + 1 < len(asked) else -1
        request = reader.request(each, following)
        answer = each.response
        tell_status(
            request,
            each.found.message,
            answer.message if answer is not None else None,
            last_rows=(_last_row(client, each.found), _last_row(server, answer)),
            is_responder=is_responder,
        )
        requests.append(request)
    return Exchanged(requests, tunnel)


def messages(stream: Stream, at: int, read: Callable[[bytes], HttpMessage | None]) -> Iterator[Found]:
    """The messages of a stream from an offset on, in order; ``read`` reads the one that bytes begin with."""
    follows = True
    for _ in range(MOST_MESSAGES):
        message = read(stream.behind(at, MOST_HEAD + MOST_BODY)) if follows else None
        if message is None or not (message.version or message.method == "GET"):
            at, follows = _next_start(stream, at), False
            message = read(stream.behind(at, MOST_HEAD + MOST_BODY)) if at >= 0 else None
            if at < 0:
                return
            if message is None:
                at += 1
                continue
        yield Found(at, follows, message)
        if message.method == "PRI" or message.status == 101:
            return
        follows = message.end >= 0 or message.announced >= 0
        at += max(message.end, message.announced, 1)


def _next_start(stream: Stream, least: int) -> int:
    """The first segment from an offset on that begins like a message; -1 if there is none."""
    starts = (place.begin for place in stream.places if place.begin >= least)
    return next((begin for begin in starts if is_http_message(stream.behind(begin, 16))), -1)


def _last_row(stream: Stream, found: Found | None) -> int:
    """The row with the last byte of a message, -1 where its end is not there."""
    if found is None or found.message.end <= 0:
        return -1
    rows = stream.rows_at(found.at + found.message.end - 1)
    return rows[0] if rows else -1


def _name(message: HttpMessage) -> str:
    """The host that a request names, without its port, in lower case."""
    host = message.target if message.method == "CONNECT" else message.fields.get("host", "")
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()


def _other_words(start: bytes) -> str:
    """What a server's first bytes are that are no response."""
    if not start:
        return ""
    if is_record(start):
        return "a TLS record"
    return "HTTP/2 SETTINGS" if start[3:4] == bytes((_SETTINGS,)) else "bytes without a status line"
