"""What captures of several places say of a silence: between which of them the request or its reply vanished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from analyzer.exchanges.ends.sightings import AT_THE_SERVER, BEYOND, ON_THE_WAY, ON_THE_WAY_BACK, UNSEEN, Ends
from analyzer.exchanges.view import CaptureView, View
from analyzer.patterns.finding import ERROR, Argument, Finding
from analyzer.patterns.words import counted, listed, seconds, socket_words

AT_SERVER = (
    "At the server's interface, a drop by its own firewall, a send that the kernel refuses and a process that does not "
    "read look the same: `nft list ruleset` (counters), `strace -f -e trace=sendmsg,recvmsg -p PID` and "
    "`nstat -az UdpInDatagrams UdpNoPorts UdpRcvbufErrors` tell them apart."
)
AT_CLIENT = (
    "At the client's side, loss on the way out, a silent server and loss on the way back look the same: a capture at "
    "the server in the same minutes tells which."
)
AT_TCP_SERVER = (
    "At the server's interface, a drop by its own firewall and a full listen queue look the same: `nft list ruleset` "
    "(counters) and `nstat -az TcpExtListenDrops TcpExtListenOverflows` tell them apart."
)
UNKNOWN = "The capture does not show whether it was made at the client, at the server or between them."

#: What one place cannot tell and two can.
_OF_ONE_PLACE = (AT_SERVER, AT_CLIENT, AT_TCP_SERVER, UNKNOWN)


def alone_of(view: View) -> tuple[View, ...]:
    """What each place showed of the connections of the view, as far as patterns may say where packets vanished."""
    if view.ends is None:
        return ()
    views = tuple(replace(each, ends=view.ends, captures=view.captures) for each in view.ends.views)
    if view.filtered is None:
        return views
    left = view.connections["connection"].tolist()
    return tuple(
        replace(each, connections=each.connections.take(np.flatnonzero(np.isin(each.connections["connection"], left))))
        for each in views
    )


def unexplained(
    told: Sequence[Finding], elsewhere: Mapping[str, list[Finding]], *, summaries: Sequence[str]
) -> Iterator[Finding]:
    """Findings of other places about connections that no error is told of, nor a finding of the same pattern."""
    if not elsewhere:
        return
    errors = {
        connection
        for finding in told
        if finding.severity == ERROR and finding.pattern not in summaries
        for connection in finding.connections
    }
    known = {(finding.pattern, connection) for finding in told for connection in finding.connections}
    for name, findings in elsewhere.items():
        for finding in findings:
            if finding.connections and all(
                connection not in errors and (name, connection) not in known for connection in finding.connections
            ):
                known.update((name, connection) for connection in finding.connections)
                yield finding


def placed(argument: Argument, view: View, connections: Sequence[str], transport: str) -> Argument:
    """The argument with the place where the packets of its connections vanished, where several places tell."""
    ends = view.ends
    if ends is None:
        return argument
    if len(ends.places) < 2:
        return _translated(argument, view, connections)
    where = Counter(place for connection in connections if (place := ends.vanished(connection)))
    near, far = names_of(view, 0), names_of(view, len(ends.places) - 1)
    client = f"the client ({near})" if ends.is_at(0, "client") else near
    server = f"the server's interface ({far})" if ends.is_at(len(ends.places) - 1, "server") else far
    if not where:
        lost = _lost(ends, connections, near, far)
        return replace(argument, because=f"{argument.because.rstrip('.')}; {lost}.") if lost else argument
    parts = [_words(place, where[place], len(connections), client, server) for place in _ORDER if where[place]]
    own = tuple(limit for limit in argument.limitations if limit not in _OF_ONE_PLACE)
    at_server = AT_TCP_SERVER if transport == "tcp" else AT_SERVER
    limits = {
        ON_THE_WAY: f"Which hop between {near} and {far} loses them: a capture half-way tells.",
        ON_THE_WAY_BACK: f"Which hop between {far} and {near} loses them: a capture half-way tells.",
        AT_THE_SERVER: at_server,
        BEYOND: f"Whether they reach the server: {far} was not shown to be recorded at the server itself.",
        UNSEEN: f"Whether {far} was recorded on the interface that they take: it shows nothing of the kind.",
    }
    return replace(
        argument,
        because=f"{argument.because.rstrip('.')}; {listed(parts)}.",
        limitations=(*own, *dict.fromkeys(limits[place] for place in _ORDER if where[place]), *_drops(view)),
        remedies=(
            *(_REMEDIES[place] for place in _REMEDIES if where[place] * 2 > len(connections)),
            *argument.remedies,
        ),
    )


_ORDER = (ON_THE_WAY, AT_THE_SERVER, BEYOND, ON_THE_WAY_BACK, UNSEEN)

_REMEDIES = {
    ON_THE_WAY: (
        "Look between both captures, on the way to the server: firewalls, security groups, load balancers and NAT "
        "there drop what left the client; nothing on the server can answer it."
    ),
    AT_THE_SERVER: (
        "Look inside the server's host: the requests reached its interface and nothing left it, so the network between "
        "both captures is not at fault."
    ),
    ON_THE_WAY_BACK: (
        "Look between both captures, on the way back: the server answers, and what it sends is lost before the client; "
        "its routes, stateful firewalls that see one direction only, and NAT come first."
    ),
}


def _drops(view: View) -> tuple[str, ...]:
    """What captures say that they lost themselves: a packet that is missing there may have passed."""
    return tuple(
        f"{capture.name} lost {counted(capture.dropped, 'packet')} by its own count: what is missing there may have "
        "passed unseen."
        for capture in view.captures
        if capture.dropped > 0
    )


def _words(place: str, count: int, of: int, client: str, server: str) -> str:
    """What became of ``count`` of the connections between two places."""
    which = (
        "the request" if of == 1 else f"the requests of all {of:,}" if count == of else f"those of {count:,} of {of:,}"
    )
    were = "was" if of == 1 else "were"
    if place == ON_THE_WAY:
        return f"{which} left {client} and never arrived at {server}"
    if place == AT_THE_SERVER:
        return f"{which} reached {server} and no reply left it, so what is wrong is inside the server's host"
    if place == BEYOND:
        return f"{which} passed {server} and no reply came by there, so what is wrong lies beyond, towards the server"
    if place == ON_THE_WAY_BACK:
        return f"the replies to {which} left {server} and never arrived at {client}"
    return f"{which} left {client} and {were} not seen at {server}, which shows no other packet of the kind"


def _lost(ends: Ends, connections: Sequence[str], near: str, far: str) -> str:
    """How much of what each side sent passed the other place, "" where all did or the places do not tell."""
    sent = [0, 0, 0, 0]  # by the client at its end, of it at the server's; by the server at its end, at the client's
    last = len(ends.places) - 1
    for connection in connections:
        views = {each.place: each for each in ends.of(connection)}
        if 0 in views and last in views and len(views) == len(ends.of(connection)):
            a, b = views[0], views[last]
            if not (a.one_way or b.one_way):
                amounts = (a.client_bytes, b.client_bytes, b.server_bytes, a.server_bytes)
                sent = [known + more for known, more in zip(sent, amounts, strict=True)]
    parts = []
    if sent[1] < sent[0]:
        parts.append(f"of {sent[0]:,} bytes that the client sent ({near}) {sent[1]:,} arrived at the server ({far})")
    if sent[3] < sent[2]:
        parts.append(f"of {sent[2]:,} bytes that the server sent ({far}) {sent[3]:,} arrived at the client ({near})")
    return " and ".join(parts)


def _translated(argument: Argument, view: View, connections: Sequence[str]) -> Argument:
    """The argument with what the other side of a translation or bridge in the same capture shows."""
    assert view.ends is not None
    ends, inside = view.ends, 0
    for connection in connections:
        first, *others = ends.of(connection) or (None,)
        if first is not None and not first.server_packets and any(each.server_packets for each in others):
            inside += 1
    if not inside:
        return _on_one_side(argument, view, connections)
    words = (
        f"behind a translation or bridge of the capturing host {counted(inside, 'connection')} of these got replies, "
        "which never left towards the client"
    )
    return replace(argument, because=f"{argument.because.rstrip('.')}; {words}.")


def _on_one_side(argument: Argument, view: View, connections: Sequence[str]) -> Argument:
    """The argument with what never came out of the capturing host, where others of the same server socket did."""
    assert view.ends is not None
    names = ("server_address", "server_port", "outcome")
    forwarded = [view.row_of[name] for name in view.ends.seen if name in view.row_of]
    sockets = set(zip(*(view.connections.at(name, forwarded) for name in names[:2]), strict=True))
    rows = [view.row_of[name] for name in connections if name not in view.ends.seen and name in view.row_of]
    stuck = sum(
        (address, port) in sockets and outcome == "silent"
        for address, port, outcome in zip(*(view.connections.at(name, rows) for name in names), strict=True)
    )
    if not stuck or not sockets:
        return argument
    words = (
        f"{counted(stuck, 'connection')} of these {'was' if stuck == 1 else 'were'} seen on one side of the capturing "
        "host only, where others to the same socket were seen on both: what is wrong is inside that host"
    )
    return replace(argument, because=f"{argument.because.rstrip('.')}; {words}.")


def clock_words(capture: CaptureView, names: str, reference: str) -> str:
    """How the clock of a place stands to that of the place nearest the client."""
    within = f" to within {capture.clock_within / 1e6:.3g} ms" if capture.clock_within >= 0 else ""
    if not capture.clock:
        return f"their clocks agree{within}" if within else "nothing shows that their clocks differ"
    side = "ahead of" if capture.clock > 0 else "behind"
    return (
        f"the clock of {names} is {seconds(abs(capture.clock))} {side} that of {reference}{within}, and times are "
        "given in the latter"
    )


def translation_words(ends: Ends) -> str:
    """``; the server 198.51.100.1:443 is 192.0.2.80:443 behind a translation (DNAT, 4 connections)``, "" for none."""
    words = [
        f"the {each.of} {socket_words(*each.before)} is {socket_words(*each.after)} behind a translation "
        f"({'DNAT' if each.of == 'server' else 'SNAT'}, {counted(each.connections, 'connection')})"
        for each in ends.translations
    ]
    return f"; {listed(words)}" if words else ""


def names_of(view: View, place: int) -> str:
    """The captures of a place."""
    assert view.ends is not None
    return listed([capture.name for capture in view.captures if capture.index in view.ends.places[place].captures])
