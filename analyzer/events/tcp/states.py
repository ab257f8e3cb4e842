"""The states of a TCP connection as an observer can know them, and what moves it from one to another.

How it works
------------
The states of RFC 9293 §3.3.2 are those of an endpoint, two for each connection, and an endpoint knows what it sent. An
observer knows what came by, in the order in which it came by, and that much of it may be missing. So there is one state
for the connection, and it only says what the segments prove:

    ATTEMPTED        a SYN of the client, no answer
    BOTH_OPEN        a SYN of each side, neither acknowledged: both open at once (§3.5)
    HALF_OPEN        an answer, the SYN/ACK or data behind it; that the client took it has not been seen
    WENT_ON          the client sent what follows a SYN/ACK, which was not seen: one direction is missing here
    ESTABLISHED      the client acknowledged the SYN/ACK, or the connection had begun before the capture
    CLIENT_CLOSED    the client sent a FIN, the server none yet; likewise SERVER_CLOSED
    CLOSED           a FIN of both
    RESET            a RST of either side: whatever else comes by, it is over

A segment is one of six *kinds* and comes from the client or the server. What belongs to the connection is decided
before (``tcp.reader``): a SYN with another initial sequence number begins another connection and never arrives here,
nor does a copy that the capture made. So a SYN or SYN/ACK that comes again changes nothing, except that a SYN/ACK of
the client proves that both opened at once.

A segment that is not in the table of a state leaves it as it is: a challenge ACK before the SYN/ACK (RFC 5961 §4.2), an
old duplicate, an ACK behind the end. A RST is in no table, for it ends every state.
"""

from __future__ import annotations

import functools
from enum import Enum, auto

CLIENT, SERVER = False, True

FIN, SYN, RST, ACK = 1, 2, 4, 16  # RFC 9293 §3.1


class Kind(Enum):
    """What a segment is to the connection."""

    RST = auto()
    SYN = auto()
    SYN_ACK = auto()
    FIN = auto()
    DATA = auto()
    ACK = auto()  # and whatever has neither flags nor data


class State(Enum):
    """How far a connection got."""

    NEW = auto()
    ATTEMPTED = auto()
    BOTH_OPEN = auto()
    HALF_OPEN = auto()
    WENT_ON = auto()
    ESTABLISHED = auto()
    CLIENT_CLOSED = auto()
    SERVER_CLOSED = auto()
    CLOSED = auto()
    RESET = auto()


_ENDS = {(CLIENT, Kind.FIN): State.CLIENT_CLOSED, (SERVER, Kind.FIN): State.SERVER_CLOSED}
_GOES_ON = {(CLIENT, Kind.ACK): State.ESTABLISHED, (CLIENT, Kind.DATA): State.ESTABLISHED}

#: From each state, by who sent what, to the next.
TRANSITIONS: dict[State, dict[tuple[bool, Kind], State]] = {
    State.NEW: {
        (CLIENT, Kind.SYN): State.ATTEMPTED,
        (SERVER, Kind.SYN_ACK): State.HALF_OPEN,
        (SERVER, Kind.ACK): State.ESTABLISHED,
        (SERVER, Kind.DATA): State.ESTABLISHED,
        **_GOES_ON,
        **_ENDS,
    },
    State.ATTEMPTED: {
        (SERVER, Kind.SYN): State.BOTH_OPEN,
        (SERVER, Kind.SYN_ACK): State.HALF_OPEN,
        (SERVER, Kind.DATA): State.HALF_OPEN,
        (CLIENT, Kind.SYN_ACK): State.BOTH_OPEN,
        (CLIENT, Kind.ACK): State.WENT_ON,
        (CLIENT, Kind.DATA): State.WENT_ON,
        **_ENDS,
    },
    State.BOTH_OPEN: {(SERVER, Kind.SYN_ACK): State.HALF_OPEN, (SERVER, Kind.DATA): State.HALF_OPEN, **_ENDS},
    State.HALF_OPEN: {**_GOES_ON, (CLIENT, Kind.SYN_ACK): State.ESTABLISHED, **_ENDS},
    State.WENT_ON: {(SERVER, Kind.SYN_ACK): State.ESTABLISHED, (SERVER, Kind.DATA): State.ESTABLISHED, **_ENDS},
    State.ESTABLISHED: _ENDS,
    State.CLIENT_CLOSED: {(SERVER, Kind.FIN): State.CLOSED},
    State.SERVER_CLOSED: {(CLIENT, Kind.FIN): State.CLOSED},
    State.CLOSED: {},
    State.RESET: {},
}

#: The words for them in the table of connections.
STATE_WORDS = {
    State.NEW: "attempted",
    State.ATTEMPTED: "attempted",
    State.BOTH_OPEN: "attempted",
    State.WENT_ON: "attempted",
    State.HALF_OPEN: "handshaking",
    State.ESTABLISHED: "established",
    State.CLIENT_CLOSED: "closed",
    State.SERVER_CLOSED: "closed",
    State.CLOSED: "closed",
    State.RESET: "reset",
}


def kind_of(flags: int, length: int) -> Kind:
    """The kind of a segment, by its flags and the length of its payload."""
    if flags & RST:
        return Kind.RST
    if flags & SYN:
        return Kind.SYN_ACK if flags & ACK else Kind.SYN
    if flags & FIN:
        return Kind.FIN
    return Kind.DATA if length else Kind.ACK


def next_state(state: State, *, by_server: bool, kind: Kind) -> State:
    """The state after a segment."""
    return State.RESET if kind is Kind.RST else TRANSITIONS[state].get((by_server, kind), state)


class Step:
    """A state, and for each segment by its ``code_of`` the step behind it: ``next_state`` for those who read many.

    In a settled one, segments without SYN, FIN and RST change nothing.
    """

    __slots__ = ("is_settled", "next", "state")

    def __init__(self, state: State) -> None:
        self.state = state
        self.next: list[Step] = []
        self.is_settled = TRANSITIONS[state].keys() <= _ENDS.keys()


def code_of(flags: int, length: int, by_server: bool) -> int:
    """A number below ``CODES`` for what ``next_state`` looks at."""
    return (flags & (FIN | SYN | RST | ACK)) | (8 if length else 0) | (32 if by_server else 0)


CODES = 64


@functools.cache
def first_step() -> Step:
    """The step of a connection of which nothing was seen yet."""
    steps = {state: Step(state) for state in State}
    for state, step in steps.items():
        for code in range(CODES):
            by_server, kind = code & 32 > 0, kind_of(code, code & 8)
            step.next.append(steps[next_state(state, by_server=by_server, kind=kind)])
    return steps[State.NEW]
