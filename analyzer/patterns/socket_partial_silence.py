"""One server socket answers some client 4-tuples and never others, in the same time.

What it sees
    QUIC attempts on one server socket and family: some are answered, others are sent again and again and never are,
    and which of both depends on the 4-tuple. It sums up the no-reply findings of that socket.

Why it matters
    The kernel hands each 4-tuple to one socket of an SO_REUSEPORT group. If nobody reads one of N, one in N clients
    hears nothing, until it happens to use another port: "works when I try again". Monitoring that tries once sees
    nothing.

How it decides
    A likelihood ratio compares two models, for each client address with a loss of its own: every try is lost with the
    same probability, or a share of 4-tuples is dead (`stickiness` holds the test). Silent attempts with no answer
    between them count as one, and silence must not come in blocks. The last repeat is not counted as a try, since it
    may be the client's close. Attempts with a name, version or size of which none was answered are left out: those may
    be the cause. Onset and end are where the shares part best. The share is given with its 95 % interval, and which 1
    of N fits.

What it cannot know
    Which process owns the dead socket, and whether its datagrams wait in the socket or were dropped before it.

Look-alikes
    Random loss (repeats get through), a client's own filter or ban, a rate limiter, a restart: all at a time or a
    client, none at a 4-tuple. A load balancer or parallel path that loses what it hashes to one member looks the same.

What to do
    `ss -ulnpe 'sport = :PORT'` lists the group: a socket whose Recv-Q stays full, or whose owner is stopped or
    exiting, is the dead one. Restart the service in place of reloading it.

Seen in the wild
    nginx and openresty after a reload (nginx#425, openresty#1004), worst with quic_bpf; a worker that hangs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyzer.exchanges.view import View
from analyzer.patterns import advice
from analyzer.patterns.evidence import WAIT, attempts_by_socket, finding_of, first_request, unanswered_initials
from analyzer.patterns.finding import ERROR, LIKELY, POSSIBLE, Argument, Finding, LookAlike, Pattern, Threshold
from analyzer.patterns.split_sockets import Split, compared, in_other_family, split
from analyzer.patterns.stickiness import Stickiness, group_sizes
from analyzer.patterns.words import FAMILIES, counted, seconds, sentence

LEAST_UNITS = Threshold("least-units", 3, "silences with answers between", "two may be two outages")
APART = Threshold(
    "apart", 8, "silences with answers between", "where none was answered meanwhile: outages may be short"
)
MOST_SILENT = Threshold(
    "most-silent", 20, "silent attempts for each answer", "a group with one live socket of that many"
)
LEAST_SHARE = Threshold("least-share", 1 / 256, "of attempts", "a group with a socket for each of 256 processors")
P_VALUE = Threshold("p-value", 1e-4, "probability", "of the ratio under loss; 1 of 10,000 sockets under loss alone")
SURE = Threshold("sure", 1e-8, "probability", "of the ratio under loss: likely rather than possible")
LATE = Threshold("late", 0.25, "late answers per silence", "so much loss may not be the same for all: be sure")
BY_TIME = Threshold("by-time", 1e-3, "probability", "of such an order in time by chance: silence belongs to a time")

_LIMIT = (
    "A load balancer or parallel path that loses what it hashes to one member looks the same: capture at the server."
)

PATTERN = Pattern(
    "socket-partial-silence",
    ERROR,
    "a server socket answers some client 4-tuples and never others, in the same time",
    ("socket(7) SO_REUSEPORT", "Self and Liang 1987", "Wilson 1927"),
    (LEAST_UNITS, APART, MOST_SILENT, LEAST_SHARE, P_VALUE, SURE, LATE, BY_TIME, WAIT),
)


def find(view: View) -> Iterator[Finding]:
    """A finding for each QUIC socket and family whose silence goes with the 4-tuple."""
    for attempts in attempts_by_socket(view, unanswered_initials(view)):
        silent, others = compared(attempts)
        if len(silent) < LEAST_UNITS.value or len(others) < max(LEAST_UNITS.value, len(silent) / MOST_SILENT.value):
            continue
        found = split(silent, others)
        if _is_sticky(found.test) and found.share_interval[1] >= LEAST_SHARE.value:
            finding = finding_of(PATTERN, found.silent, argument=_argument(found))
            bounds = found.onset_bounds
            yield replace(finding, onset=bounds[1] if bounds else -1, onset_bounds=bounds)


def _is_sticky(test: Stickiness) -> bool:
    meanwhile = test.answered_meanwhile >= LEAST_UNITS.value
    outages = not meanwhile and (test.units < APART.value or test.answered_late > test.units / APART.value)
    needed = SURE if test.answered_late >= LATE.value * test.units else P_VALUE
    ordered = test.by_time <= BY_TIME.value
    return test.units >= LEAST_UNITS.value and test.p_value <= needed.value and not outages and not ordered


def _argument(found: Split) -> Argument:
    silent, family = found.silent, FAMILIES[found.silent.family]
    low, high = interval = found.share_interval
    part = f"{100 * len(silent) / found.attempts:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    most = max(silent.tries)
    because = (
        f"{len(silent):,} of {counted(found.attempts, 'QUIC attempt')} to {silent.words} over {family} heard nothing, "
        f"sent up to {counted(most, 'time')} each, while the others were answered in the same time: {part}, which fits "
        f"{_fits(group_sizes(interval))}; {_when(found)}; loss that hits every 4-tuple alike would do this with a "
        f"probability of {found.test.p_value:.0e}; the first is {first_request(silent)}"
    )
    return Argument(
        severity=ERROR,
        confidence=LIKELY if found.test.p_value <= SURE.value else POSSIBLE,
        title=f"QUIC over {family} to {silent.words}: some client ports are never answered, others always",
        because=sentence(because),
        limitations=(_LIMIT, *advice.vantage_limits(silent.view)),
        look_alikes=_look_alikes(found),
        remedies=_remedies(silent.port),
    )


def _fits(sizes: tuple[int, int]) -> str:
    least, largest = sizes
    if not largest:
        return "no group in which one socket of several is dead, but one in which several are"
    return f"1 dead socket in a group of {least}" + (f" to {largest:,}" if largest > least else "")


def _when(found: Split) -> str:
    if found.onset_bounds is None:
        since = "it may have begun before the capture"
    else:
        good, bad = found.onset_bounds
        before = counted(found.answered_before, "attempt")
        since = f"it began with the first of them, after {before}, or up to {seconds(bad - good)} earlier"
    return f"{since}, and ended within the capture" if found.ended >= 0 else f"{since}, and lasts to the end"


def _look_alikes(found: Split) -> tuple[LookAlike, ...]:
    test, clients = found.test, len(found.silent.clients & found.answered.clients)
    silent, everything = in_other_family(found)
    mixed = f"{counted(clients, 'client address')} had both silent and answered attempts in that time"
    both = (
        f"over the other family {silent:,} of {counted(everything, 'attempt')} to the same port were silent meanwhile"
    )
    lasting = f"answers lie between {counted(test.units, 'silence')}, {test.answered_meanwhile:,} of them overlapped"
    return (
        LookAlike("quic-initial-no-reply", True, f"the socket answered {counted(len(found.answered), 'attempt')}"),
        LookAlike("socket-went-silent", True, lasting),
        LookAlike("capture-one-way", clients > 0, mixed),
        LookAlike("address-family-silent", True, both if everything else "the family is answered on other 4-tuples"),
    )


def _remedies(port: int) -> tuple[str, ...]:
    group = (
        f"On the server, `ss -ulnpe 'sport = :{port}'` lists the sockets of the group: find the one whose Recv-Q stays "
        "full or whose process is stopped, hung or exiting, and end that process."
    )
    return (
        group,
        "Restart the service rather than reload it; with nginx, do without `quic_bpf` while reloads are needed.",
        "Until then let clients fall back at once: stop advertising h3 (Alt-Svc, HTTPS record).",
    )
