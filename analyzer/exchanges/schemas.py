"""The columns of every table that users see, each defined once: name, kind, unit, meaning, source.

Columns marked ``public=False`` carry what patterns need and are not exported.
"""

from __future__ import annotations

from analyzer.columns import Column, Schema


def _c(name: str, kind: str, unit: str, meaning: str, source: str = "", *, public: bool = True) -> Column:
    return Column(name, kind, unit, meaning, source, public)


_SOCKETS_OF_ROW: Schema = (
    _c("family", "text", "", "address family of the packets: ipv4 or ipv6", "IP header"),
    _c("client_address", "text", "", "address of the side that asked", "IP header"),
    _c("client_port", "int", "", "port of the side that asked", "UDP or TCP header"),
    _c("server_address", "text", "", "address that the client addressed", "IP header"),
    _c("server_port", "int", "", "port that the client addressed", "UDP or TCP header"),
)

CONNECTIONS: Schema = (
    _c("connection", "text", "", "C1, C2, ... in order of the first record"),
    _c("capture", "int", "", "index of the capture file, from 0"),
    _c("transport", "text", "", "quic, tcp or udp"),
    *_SOCKETS_OF_ROW,
    _c("roles_from", "text", "", "what told client from server: syn, initial, cid, port or first-seen"),
    _c("first_record", "int", "", "number of the first record"),
    _c("first_time", "time", "ns", "time of the first record"),
    _c("duration_s", "float", "s", "from the first to the last record"),
    _c("client_packets", "int", "packets", "IP packets from the client, duplicates of the capture left out"),
    _c("server_packets", "int", "packets", "IP packets from the server, duplicates of the capture left out"),
    _c("client_bytes", "int", "bytes", "transport payload from the client, by the header's lengths"),
    _c("server_bytes", "int", "bytes", "transport payload from the server, by the header's lengths"),
    _c("history", "text", "", "one letter per step, upper case from the client, lower case from the server"),
    _c("state", "text", "", "attempted, handshaking, established, closed, refused, reset or silent"),
    _c("outcome", "text", "", "answered, refused, silent or undetermined"),
    _c("outcome_reason", "text", "", "why the outcome is refused or undetermined, one word"),
    _c("quic_version", "text", "", "version of the first client Initial whose hello is read, hex", "RFC 9000 §17.2"),
    _c("quic_version_negotiated", "text", "", "version of the server's long headers, hex", "RFC 9368"),
    _c("client_dcid", "text", "", "DCID of the first client Initial, hex", "RFC 9000 §7.2"),
    _c("client_scid", "text", "", "SCID of the first client Initial, hex", "RFC 9000 §7.2"),
    _c("server_scid", "text", "", "SCID of the server's first long header that is not a Retry, hex", "RFC 9000 §7.2"),
    _c("sni", "text", "", "server name that the client offered", "RFC 6066 §3"),
    _c("alpn", "text", "", "protocols that the client offered, joined by commas", "RFC 7301 §3.1"),
    _c("tls_version", "text", "", "version that the ServerHello selects", "RFC 8446 §4.2.1"),
    _c("ja4", "text", "", "JA4 fingerprint of the client"),
    _c("retry", "bool", "", "a Retry packet was seen", "RFC 9000 §17.2.5"),
    _c("close_side", "text", "", "client or server: who closed first"),
    _c("close_code", "int", "", "error code of the CONNECTION_CLOSE that could be read", "RFC 9000 §19.19"),
    _c("close_reason", "text", "", "code and reason phrase in words"),
    _c("paths", "int", "", "number of 4-tuples on which the connection was seen"),
    _c("reply_record", "int", "", "number of the first record of the reply"),
    _c("reply_latency_s", "float", "s", "from the first request record to the reply record"),
    _c("replied_from", "text", "", "socket that answered in place of the addressed one"),
    # What patterns need besides.
    _c("request_records", "records", "", "the first request and its repeats", public=False),
    _c("evidence_records", "records", "", "further records that tell: replies, ICMP errors, resets", public=False),
    _c("rejections", "int", "", "ICMP errors of the client that quote a reply from elsewhere", public=False),
    _c("repeats", "int", "", "how often the request was sent again", public=False),
    _c(
        "request_time",
        "time",
        "ns",
        "time of the first request record; -1 where the request was not seen",
        public=False,
    ),
    _c("last_request_time", "time", "ns", "time of the last repeat of the request", public=False),
    _c("reply_time", "time", "ns", "time of the first reply record", public=False),
    _c("last_time", "time", "ns", "time of the connection's last record", public=False),
    _c("refused_by", "text", "", "address that sent the RST or ICMP error", public=False),
    _c("icmp", "text", "", "ICMP error that quotes the request: port-unreachable, admin-prohibited, ...", public=False),
    _c("syn_ack_repeats", "int", "", "how often the SYN/ACK was sent again", public=False),
    _c("handshake_acked", "bool", "", "the client's ACK of the SYN/ACK (or later data) was seen", public=False),
    _c("client_reset", "bool", "", "the client sent a RST", public=False),
    _c("hello_complete", "bool", "", "the ClientHello of the QUIC client was read whole", public=False),
    _c("largest_request", "int", "bytes", "largest UDP payload among the client's Initials", public=False),
    _c("version_known", "bool", "", "the QUIC version is one whose Initials can be opened", public=False),
    _c("one_way", "bool", "", "nothing from the server's host in this family could be seen", public=False),
)

SOCKETS: Schema = (
    _c("transport", "text", "", "udp or tcp"),
    _c("family", "text", "", "ipv4 or ipv6"),
    _c("address", "text", "", "server address"),
    _c("port", "int", "", "server port"),
    _c("clients", "int", "", "distinct client addresses"),
    _c("attempts", "int", "", "attempts: answered + refused + silent + undetermined"),
    _c("answered", "int", "", "attempts answered from this socket"),
    _c(
        "refused",
        "int",
        "",
        "attempts refused: RST, ICMP error, Version Negotiation without a sequel, close before CRYPTO",
    ),
    _c("silent", "int", "", "attempts with no reply although the capture could have seen one"),
    _c("undetermined", "int", "", "attempts whose outcome the capture cannot show"),
    _c("answered_share", "float", "", "answered / (attempts - undetermined)"),
    _c("median_reply_s", "float", "s", "median of the latency from the first request to the reply"),
    _c("p99_reply_s", "float", "s", "99th percentile of that latency"),
    _c("first_attempt", "time", "ns", "time of the first attempt"),
    _c("last_answer", "time", "ns", "time of the last reply to an attempt"),
    _c("onset", "time", "ns", "first attempt of the silence that lasts to the end, where answers came before"),
)

EXCHANGES: Schema = (
    _c("exchange", "text", "", "E1, E2, ... in order of the request record"),
    _c("connection", "text", "", "the connection that the request belongs to"),
    _c("kind", "text", "", "quic-initial, tcp-syn, tls-client-hello, http, ocsp, dns, arp or ndp"),
    _c("transport", "text", "", "udp, tcp or empty"),
    *_SOCKETS_OF_ROW,
    _c("name", "text", "", "name that was asked for: SNI, DNS name, Host"),
    _c("request_record", "int", "", "number of the first request record"),
    _c("request_time", "time", "ns", "time of that record"),
    _c("repeats", "int", "", "how often it was sent again"),
    _c("outcome", "text", "", "answered, refused, silent or undetermined"),
    _c("outcome_reason", "text", "", "why, one word"),
    _c("reply_record", "int", "", "number of the first record of the reply"),
    _c("reply_latency_s", "float", "s", "from the request record to the reply record"),
    _c("replied_from", "text", "", "socket that answered in place of the addressed one"),
    _c("capture", "int", "", "index of the capture file", public=False),
    _c("question_type", "text", "", "type asked for in DNS: A, AAAA, HTTPS, ...", "RFC 1035 §4.1.2", public=False),
    _c("answer_code", "text", "", "response code of the DNS answer in words", "RFC 1035 §4.1.1", public=False),
    _c("answers", "text", "", "addresses in the DNS answer, joined by commas", public=False),
    _c("request_records", "records", "", "the first request and its repeats", public=False),
    _c("evidence_records", "records", "", "further records that tell: the reply, ICMP errors", public=False),
    _c("last_request_time", "time", "ns", "time of the last repeat of the request", public=False),
    _c("reply_time", "time", "ns", "time of the first reply record", public=False),
    _c("one_way", "bool", "", "no reply to this side could be seen", public=False),
)

RESOLUTIONS: Schema = (
    _c("resolution", "text", "", "R1, R2, ... in order of the first question"),
    _c("client_address", "text", "", "address that asked"),
    _c("resolver", "text", "", "address that was asked"),
    _c("name", "text", "", "name that was asked for"),
    _c("asked_a", "bool", "", "an A question was seen"),
    _c("answered_a", "bool", "", "it was answered"),
    _c("asked_aaaa", "bool", "", "an AAAA question was seen"),
    _c("answered_aaaa", "bool", "", "it was answered"),
    _c("addresses", "text", "", "addresses answered, joined by commas"),
    _c("tried", "text", "", "addresses that the client then tried, in order, joined by commas"),
    _c("first_tried_family", "text", "", "family tried first"),
    _c("second_family_delay_s", "float", "s", "from the first attempt to the first one in the other family"),
    _c("outcome", "text", "", "answered, refused, silent, undetermined or not-tried"),
)

PACKETS: Schema = (
    _c("capture", "int", "", "index of the capture file, from 0"),
    _c("record", "int", "", "record number, from 1"),
    _c("time", "time", "ns", "time of the record"),
    _c("connection", "text", "", "the connection that it belongs to"),
    _c("direction", "text", "", "client, server or empty"),
    _c("kind", "text", "", "quic-initial, quic-handshake, tcp-syn, icmp, arp, ..."),
    _c("family", "text", "", "ipv4, ipv6 or empty"),
    _c("length", "int", "bytes", "original length of the record"),
    _c("captured_length", "int", "bytes", "captured length of the record"),
    _c("detail", "text", "", "what the packet holds, in words"),
    _c("flaw", "text", "", "why it could not be read whole"),
)

FINDINGS: Schema = (
    _c("id", "text", "", "F1, F2, ... in report order"),
    _c("pattern", "text", "", "id of the pattern"),
    _c("severity", "text", "", "error, warning or info"),
    _c("confidence", "text", "", "certain, likely or possible"),
    _c("title", "text", "", "what is seen, in a line"),
    _c("because", "text", "", "one sentence with its numbers"),
    _c("transport", "text", "", "udp, tcp or empty"),
    _c("family", "text", "", "the family that fails: ipv4, ipv6 or both"),
    _c("server_address", "text", "", "the socket that the client addressed"),
    _c("server_port", "int", "", "its port"),
    _c("name", "text", "", "name of the host, where one was seen"),
    _c("part_of", "text", "", "the summary finding that sums this one up"),
    _c("attempts", "int", "", "attempts on that socket"),
    _c("affected", "int", "", "attempts that the finding is about"),
    _c("first_time", "time", "ns", "time of the first cited record"),
    _c("last_time", "time", "ns", "time of the last cited record"),
    _c("onset", "time", "ns", "since when"),
    _c("display_filter", "text", "", "Wireshark display filter that shows the evidence"),
)

SCHEMAS: dict[str, Schema] = {
    "connections": CONNECTIONS,
    "sockets": SOCKETS,
    "exchanges": EXCHANGES,
    "resolutions": RESOLUTIONS,
    "packets": PACKETS,
    "findings": FINDINGS,
}
