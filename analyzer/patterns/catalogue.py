"""All patterns in report order, what explains what, and the run that makes one finding of one fault.

How it works: a pattern is a module with ``PATTERN`` and ``find``. Before it runs, those that explain it have run, and
the connections in their findings are taken out of its view, so that it speaks of the rest only. Summaries stand beside
what they sum up, linked by ``sums_up`` and ``part_of``. Ids are given last, most important first.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from analyzer.errors import UsageError, did_you_mean
from analyzer.exchanges.view import View
from analyzer.patterns import (
    address_family_silent,
    capture_clock,
    capture_cut,
    capture_drops,
    capture_duplicates,
    capture_midstream,
    capture_offload,
    capture_one_way,
    capture_truncated,
    dns_error_reply,
    dns_no_reply,
    ephemeral_port_exhaustion,
    neighbour_no_reply,
    no_address_family_fallback,
    ocsp_fetch_failed,
    pmtu_black_hole,
    quic_amplification_stall,
    quic_blocked_tcp_answered,
    quic_client_hello_incomplete,
    quic_connection_silent,
    quic_handshake_closed,
    quic_handshake_stalled,
    quic_initial_acked_only,
    quic_initial_no_reply,
    quic_initial_undersized,
    quic_path_change_silent,
    quic_retry_failed,
    quic_server_initial_missing,
    quic_stateless_reset,
    quic_version_mismatch,
    reply_from_other_address,
    resolved_not_tried,
    slow_address_family_fallback,
    socket_partial_silence,
    socket_went_silent,
    tcp_accept_queue_overflow,
    tcp_closed_without_response,
    tcp_data_unacknowledged,
    tcp_handshake_incomplete,
    tcp_request_no_response,
    tcp_reset,
    tcp_reset_injected,
    tcp_response_stalled,
    tcp_syn_delayed,
    tcp_syn_no_reply,
    tcp_syn_refused,
    tcp_zero_window,
    tls_alert,
    tls_no_server_hello,
    tls_split_client_hello,
    tuple_reused_too_soon,
    udp_port_unreachable,
)
from analyzer.patterns.finding import MOST_ENTRIES, SEVERITIES, Finding, Pattern
from analyzer.patterns.own import PatternModule, checked, findings_of, installed, remembered, uninstalled
from analyzer.patterns.places import alone_of, unexplained

CATALOGUE: tuple[PatternModule, ...] = (
    address_family_silent,
    socket_partial_silence,
    socket_went_silent,
    quic_initial_no_reply,
    quic_initial_acked_only,
    quic_server_initial_missing,
    quic_retry_failed,
    quic_version_mismatch,
    quic_handshake_closed,
    quic_amplification_stall,
    quic_handshake_stalled,
    quic_path_change_silent,
    quic_connection_silent,
    quic_stateless_reset,
    quic_client_hello_incomplete,
    quic_initial_undersized,
    reply_from_other_address,
    udp_port_unreachable,
    tcp_syn_no_reply,
    tcp_syn_refused,
    tcp_handshake_incomplete,
    tcp_syn_delayed,
    tcp_accept_queue_overflow,
    tcp_request_no_response,
    tcp_closed_without_response,
    tcp_response_stalled,
    tcp_reset,
    tcp_reset_injected,
    tcp_data_unacknowledged,
    tcp_zero_window,
    tls_no_server_hello,
    tls_alert,
    tls_split_client_hello,
    pmtu_black_hole,
    tuple_reused_too_soon,
    ephemeral_port_exhaustion,
    quic_blocked_tcp_answered,
    no_address_family_fallback,
    slow_address_family_fallback,
    resolved_not_tried,
    neighbour_no_reply,
    dns_no_reply,
    dns_error_reply,
    ocsp_fetch_failed,
    capture_one_way,
    capture_cut,
    capture_truncated,
    capture_duplicates,
    capture_drops,
    capture_offload,
    capture_midstream,
    capture_clock,
)

# A finding of the key is not made for connections that a finding of one of the values is about.
EXPLAINED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "quic-initial-no-reply": (
            "quic-client-hello-incomplete",
            "quic-initial-undersized",
            "quic-version-mismatch",
            "udp-port-unreachable",
            "reply-from-other-address",
            "quic-retry-failed",
        ),
        "quic-handshake-stalled": (
            "quic-retry-failed",
            "quic-handshake-closed",
            "quic-amplification-stall",
            "pmtu-black-hole",
            "quic-initial-acked-only",
            "quic-server-initial-missing",
        ),
        "quic-connection-silent": ("quic-path-change-silent", "quic-stateless-reset", "udp-port-unreachable"),
        "tcp-request-no-response": (
            "tls-no-server-hello",
            "tcp-zero-window",
            "pmtu-black-hole",
            "tcp-accept-queue-overflow",
        ),
        "tcp-closed-without-response": ("tls-alert",),
        "tcp-reset": ("tls-alert",),
        "tcp-syn-no-reply": ("tcp-accept-queue-overflow", "neighbour-no-reply"),
        "resolved-not-tried": ("no-address-family-fallback",),
    }
)

# What a server sent says more of a reply that was lost on the way than the silence at the client.
EXPLAINED_ELSEWHERE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"tcp-syn-no-reply": ("tcp-handshake-incomplete",)}
)

# Patterns about a capture itself begin with this.
OF_CAPTURES = "capture-"

# Findings of these stand beside what they sum up.
SUMMARIES: tuple[str, ...] = (
    "address-family-silent",
    "no-address-family-fallback",
    "slow-address-family-fallback",
    "quic-blocked-tcp-answered",
    "socket-partial-silence",
    "socket-went-silent",
    "ocsp-fetch-failed",
)


def run(view: View, own: Sequence[PatternModule] = ()) -> tuple[Finding, ...]:
    """All findings, F1, F2, ... in report order: errors first, summaries before their parts.

    ``own`` are patterns beside the catalogue and those of installed packages. Raises UsageError where one fails.
    """
    found: dict[str, list[Finding]] = {}
    elsewhere = _seen_elsewhere(view)
    for module in CATALOGUE:
        _find(module, view, found, elsewhere)
    for module in others(own):
        found[module.PATTERN.id] = findings_of(module, view)
    everything = [finding for findings in found.values() for finding in findings]
    everything += unexplained(everything, elsewhere, summaries=SUMMARIES)
    order = {name: place for place, name in enumerate(module.PATTERN.id for module in CATALOGUE)}
    return _numbered(sorted(everything, key=lambda finding: order.get(finding.pattern, len(order))))


def others(own: Sequence[PatternModule] = ()) -> list[PatternModule]:
    """Patterns beside the catalogue: of installed packages, then ``own``. Raises UsageError where two share an id."""
    modules = [*installed(), *(checked(module, f"pattern {place}") for place, module in enumerate(own, 1))]
    taken = {module.PATTERN.id for module in CATALOGUE}
    for module in modules:
        if module.PATTERN.id in taken:
            raise UsageError(f"there are two patterns {module.PATTERN.id!r}; give one of them another id")
        taken.add(module.PATTERN.id)
    remembered(own)
    return modules


def _seen_elsewhere(view: View) -> Mapping[str, list[Finding]]:
    """What the places of the captures show each for itself, the one nearest the client apart; summaries left out."""
    found: dict[str, list[Finding]] = {}
    for alone in alone_of(view)[1:]:
        of_place: dict[str, list[Finding]] = {}
        for module in CATALOGUE:
            if module.PATTERN.id not in SUMMARIES and not module.PATTERN.id.startswith(OF_CAPTURES):
                _find(module, alone, of_place, {})
        for name, findings in of_place.items():
            found.setdefault(name, []).extend(findings)
    return found


def ids() -> list[str]:
    """The ids of all patterns whose findings a report may hold: the catalogue's, then those of others."""
    return [module.PATTERN.id for module in _everything()]


def pattern(name: str) -> Pattern:
    """The pattern with this id; raises UsageError where there is none."""
    return _module(name).PATTERN


def explain(name: str) -> str:
    """The page of a pattern with its thresholds and references; raises UsageError for an id that does not exist."""
    module = _module(name)
    about = module.PATTERN
    lines = [f"{about.id} ({about.severity}): {about.summary}", "", inspect.getdoc(module) or ""]
    if about.thresholds:
        lines += ["", "Thresholds"]
        lines += [f"    {each.name} = {each.value:g} {each.unit} ({each.source})" for each in about.thresholds]
    if about.references:
        lines += ["", "References", *(f"    {reference}" for reference in about.references)]
    return "\n".join(lines) + "\n"


def _everything() -> tuple[PatternModule, ...]:
    return (*CATALOGUE, *installed(), *uninstalled())


def _module(name: str) -> PatternModule:
    for module in _everything():
        if module.PATTERN.id == name:
            return module
    hint = did_you_mean(name, ids())
    raise UsageError(f"there is no pattern {name!r}; {hint or '`halfshake explain` lists them'}")


def _find(
    module: PatternModule, view: View, found: dict[str, list[Finding]], elsewhere: Mapping[str, list[Finding]]
) -> None:
    """Fill ``found`` for a pattern, and before it for those that explain it, here or at another place."""
    name = module.PATTERN.id
    if name in found:
        return
    hidden: set[str] = set()
    for other in CATALOGUE:
        if other.PATTERN.id in EXPLAINED_BY.get(name, ()):
            _find(other, view, found, elsewhere)
            hidden.update(connection for finding in found[other.PATTERN.id] for connection in finding.connections)
    for explaining in (*EXPLAINED_BY.get(name, ()), *EXPLAINED_ELSEWHERE.get(name, ())):
        hidden.update(connection for finding in elsewhere.get(explaining, ()) for connection in finding.connections)
    # What is said of a capture itself is said of what it shows alone.
    is_of_captures = view.ends is not None and name.startswith(OF_CAPTURES) and name != capture_duplicates.PATTERN.id
    views = view.ends.views if view.ends is not None and is_of_captures else (_without(view, hidden),)
    found[name] = [finding for each in views for finding in module.find(each)]


def _without(view: View, hidden: set[str]) -> View:
    """The view without some connections."""
    if not hidden:
        return view
    table = view.connections
    kept = np.flatnonzero([name not in hidden for name in table["connection"].tolist()])
    return replace(view, connections=table.take(kept))


def _numbered(findings: list[Finding]) -> tuple[Finding, ...]:
    """Sorted, with ids, links between summaries and their parts, and capped lists."""
    parts = _parts(findings)
    parent: dict[int, int] = {}
    for summary in sorted(parts, key=lambda i: _rank(findings[i])):
        for part in parts[summary]:
            parent.setdefault(part, summary)

    def place(i: int) -> tuple[object, ...]:
        above = parent.get(i, i)
        group = above if findings[above].severity == findings[i].severity else i
        return (*_rank(findings[group])[:1], *_rank(findings[group])[1:], group, group != i, *_rank(findings[i]), i)

    order = sorted(range(len(findings)), key=place)
    ids = {i: f"F{position}" for position, i in enumerate(order, start=1)}
    return tuple(
        replace(
            findings[i],
            id=ids[i],
            connections=findings[i].connections[:MOST_ENTRIES],
            sums_up=tuple(ids[part] for part in sorted(parts.get(i, ()), key=order.index))[:MOST_ENTRIES],
            part_of=ids[parent[i]] if i in parent else "",
        )
        for i in order
    )


def _rank(finding: Finding) -> tuple[int, int, int, int]:
    """Smaller is more important: severity, summaries first, how many attempts, how early."""
    summary = finding.pattern not in SUMMARIES
    return SEVERITIES.index(finding.severity), summary, -finding.counts["affected"], finding.first_time


def _parts(findings: list[Finding]) -> dict[int, list[int]]:
    """For each summary, by place in the list, the findings that share a connection with it and are none themselves."""
    summed_up: dict[int, list[int]] = {i: [] for i, finding in enumerate(findings) if finding.pattern in SUMMARIES}
    summaries: dict[str, tuple[int, ...]] = {}  # those of each connection: nearly always one
    for i in summed_up:
        new: dict[str, tuple[int, ...]] = dict.fromkeys(findings[i].connections, (i,))
        for connection in summaries.keys() & new.keys():
            new[connection] = (*summaries[connection], i)
        summaries |= new
    for i, finding in enumerate(findings):
        if finding.pattern not in SUMMARIES:
            for summary in {*itertools.chain.from_iterable({summaries.get(c, ()) for c in finding.connections})}:
                summed_up[summary].append(i)
    return summed_up
