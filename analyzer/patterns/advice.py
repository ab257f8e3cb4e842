"""Sentences that patterns share: what the capture point cannot tell, what to type, which look-alike is ruled out."""

from __future__ import annotations

from collections import Counter

from analyzer.exchanges.view import View
from analyzer.patterns.evidence import Attempts, first_request
from analyzer.patterns.finding import INFO, LIKELY, Argument, LookAlike
from analyzer.patterns.places import AT_CLIENT, AT_SERVER, AT_TCP_SERVER, UNKNOWN
from analyzer.patterns.words import FAMILIES, counted, listed


def vantage_limits(view: View, transport: str = "udp") -> tuple[str, ...]:
    """What a silence cannot tell from where the captures were made."""
    at_server = AT_TCP_SERVER if transport == "tcp" else AT_SERVER
    vantages = {capture.vantage for capture in view.captures}
    if vantages == {"server"}:
        return (at_server,)
    if vantages == {"client"}:
        return (AT_CLIENT,)
    return (UNKNOWN, at_server, AT_CLIENT)


def other_family_answers(attempts: Attempts) -> bool:
    """Whether the same host answered over the same transport and port, in the other address family."""
    return any(
        (service.transport, service.server_port) == (attempts.transport, attempts.port)
        for service in attempts.servers.services(attempts.address)
        if service.family != attempts.family
    )


def silent_udp_remedies(attempts: Attempts) -> tuple[str, ...]:
    """What to try where UDP requests get nothing back, the likeliest first."""
    family, port, flag = FAMILIES[attempts.family], attempts.port, attempts.family[-1]
    if attempts.where(attempts.view.connections.equal("outcome", "answered")):
        # a listener is there and no rule forbids the family: what differs is the client, the 4-tuple or the moment
        compare = (
            f"{attempts.words} answers others over {family}, so compare: on the server, "
            f"`ss -ulnpe 'sport = :{port}'` (several sockets, a Recv-Q that stays full) and "
            "`nstat -az UdpRcvbufErrors UdpInErrors`."
        )
        single_out = (
            "Look for what singles these clients out: rate limits, `nft list ruleset`, conntrack "
            f"(`conntrack -L -p udp --dport {port}`), a reload or restart at that time."
        )
        other_end = "Capture at the clients as well: a request that left there and is missing here was lost on the way."
        return compare, single_out, other_end
    listener = (
        f"On the server, `ss -ulnp 'sport = :{port}'` shows whether a process listens on {attempts.words} "
        f"or on a wildcard that takes {family}."
    )
    firewall = (
        f"Allow UDP {port} over {family} in both directions: host firewall, security group, load balancer, "
        f"Kubernetes Service; TCP {port} alone is not enough."
    )
    remedies = [listener, firewall]
    if other_family_answers(attempts):
        remedies.append(
            f"The other family works, so look at how the server sends over {family}: bind the concrete address in "
            f"place of the wildcard (Caddy: `default_bind {attempts.address}`; quic-go: listen on {attempts.words}) "
            "and update the QUIC library."
        )
    remedies.append(
        f"Check again with `curl -{flag} --http3-only -v https://NAME:{port}/`; until it works, "
        "stop advertising h3 (Alt-Svc, HTTPS record)."
    )
    return tuple(remedies)


def version_look_alike(attempts: Attempts) -> LookAlike:
    """Whether the server was seen to speak the QUIC versions that these attempts asked for."""
    asked = sorted(attempts.distinct("quic_version"))
    spoken = {service.quic_version for service in attempts.servers.services(attempts.address)}
    versions = " and ".join(version or "unknown" for version in asked)
    if set(asked) <= spoken:
        return LookAlike("quic-version-mismatch", True, f"the same host answers version {versions} in this capture")
    return LookAlike(
        "quic-version-mismatch",
        False,
        f"the requests ask for version {versions}, and this capture shows no answer of that host to it",
    )


def one_way_look_alike(attempts: Attempts) -> LookAlike:
    """Whether packets from the server's address can be seen in this capture."""
    view, table = attempts.view, attempts.view.connections
    row = view.host_row(attempts.address)
    seen = int(str(row.get("packets_from", 0)))
    rows = attempts.servers.answered_rows.get(attempts.address)
    if rows is not None:
        example = f"{table['connection'][rows[0]]} among them"
        return LookAlike(
            "capture-one-way",
            True,
            f"{counted(len(rows), 'connection')} to {attempts.address} got answers that are in this capture, {example}",
        )
    if seen > 0:
        return LookAlike(
            "capture-one-way", True, f"this capture holds {counted(seen, 'packet')} from {attempts.address}"
        )
    if row.get("neighbour_seen"):
        why = f"ARP or NDP of {attempts.address} was seen, so its frames can be seen here, but no IP packet from it"
        return LookAlike("capture-one-way", False, why)
    return LookAlike("capture-one-way", False, f"this capture holds no packet from {attempts.address} at all")


def scan_argument(scan: Attempts, seen: str) -> Argument:
    """What to say of one client that tried many ports of one address; ``seen`` is what became of the attempts."""
    ports, client = len(scan.distinct("server_port")), scan.column("client_address")[0]
    return Argument(
        severity=INFO,
        confidence=LIKELY,
        title=f"{client} tried {counted(ports, 'port')} of {scan.address}: the shape of a port scan",
        because=(
            f"{counted(len(scan), 'attempt')} by {client} to {counted(ports, 'different port')} of {scan.address} "
            f"{seen}; the first is {first_request(scan)}."
        ),
        limitations=("A program that looks for a service on many ports looks the same as a scanner.",),
        remedies=("Nothing to repair where the scan is known; otherwise ask who owns the client's address.",),
    )


def icmp_words(attempts: Attempts) -> str:
    """``port-unreachable from 192.0.2.80 itself (3), admin-prohibited from 192.0.2.1 (1)``, most frequent first."""
    pairs = zip(attempts.column("icmp"), attempts.column("refused_by"), strict=True)
    seen = Counter((icmp or "RST", by or "an unknown address") for icmp, by in pairs)
    itself = attempts.address
    words = [f"{what} from {by}{' itself' * (by == itself)} ({count:,})" for (what, by), count in seen.most_common()]
    return listed(words)


def other_icmp_look_alikes(attempts: Attempts) -> tuple[LookAlike, ...]:
    """What ICMP errors that refuse nothing say about silent attempts: a path that is too narrow, or a routing loop."""
    quoted = attempts.of(attempts.rows[~attempts.view.connections.equal("icmp", "")[attempts.rows]])
    if not quoted:
        return ()
    return (LookAlike("pmtu-black-hole", False, f"ICMP errors quote requests of these: {icmp_words(quoted)}"),)
