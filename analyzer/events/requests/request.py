"""A request inside a TCP connection and what came back: a ClientHello, an HTTP request, an OCSP request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from analyzer.events.connection import Connection

TLS, HTTP, OCSP = "tls-client-hello", "http", "ocsp"


@dataclass(slots=True)
class Details:
    """What a request and its reply say; ``notes`` say in words what rows hold."""

    asked: str = ""
    replied: str = ""
    status: int = -1  # of HTTP
    alt_svc: str = ""
    ocsp_status: str = ""  # good, revoked, unknown, or why there is none; of the stapled response where this is TLS
    ocsp_serial: str = ""  # hex
    ocsp_until: int = -1  # nextUpdate, ns
    notes: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Request:
    """Rows are indices of selected rows, -1 for none.

    ``rows`` carry the first byte of the request: the first time, then repeats. ``reply_row`` carries the first byte of
    the reply; ``refusal`` is the word of a reply that refuses, such as the name of a TLS alert. ``is_whole`` says that
    the server had all it needs to answer; ``came`` that bytes of the server which were not kept may be the answer.
    """

    connection: Connection
    kind: str
    rows: list[int]
    name: str = ""
    reply_row: int = -1
    refusal: str = ""
    is_whole: bool = True
    came: bool = False
    read: Callable[[], Details] | None = None  # of a request whose details nobody may ask for
    _details: Details | None = None

    @property
    def details(self) -> Details:
        """What it says, read when it is first asked for."""
        if self._details is None:
            self._details = self.read() if self.read is not None else Details()
        return self._details

    @details.setter
    def details(self, details: Details) -> None:
        self._details = details
