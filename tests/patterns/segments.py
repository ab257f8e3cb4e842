"""TCP connections typed by hand with what their segments tell; times are seconds after the SYN."""

from __future__ import annotations

from typing import Any

from tests.patterns.tables import SECOND, T0, V4, Row, tcp

#: As many ports as tests take for many.
MANY_PORTS = 15

_TIMES = (
    "first_client_data", "first_server_data", "last_client_data", "last_server_data", "client_fin", "server_fin",
    "client_rst", "server_rst",
)  # fmt: skip


def opened(at: float = 1.0, port: int = 80, server: str = V4, **facts: Any) -> Row:
    """A connection whose client sent an HTTP request, which was acknowledged and not answered."""
    start = T0 + round(at * SECOND)
    usual: Row = {
        "protocol": "http", "client_acked": "all", "first_client_data": 0.03, "last_client_data": 0.03,
        "client_bytes": 67, "server_bytes": 0, "tcp_records": ((0, 2 + round(at * 100)),),
    }  # fmt: skip
    columns = usual | facts
    for name in _TIMES:
        if columns.get(name, -1) >= 0:
            columns[name] = start + round(columns[name] * SECOND)
    return tcp(server, at, **({"server_port": port} | columns))


def served(at: float = 1.0, port: int = 80, server: str = V4, **facts: Any) -> Row:
    """A connection whose request was answered."""
    answer = {"first_server_data": 0.1, "last_server_data": 0.1, "server_bytes": 500, "server_acked": "all"}
    return opened(at, port, server, **(answer | {"client_fin": 0.2, "server_fin": 0.3} | facts))


def hello(at: float = 1.0, port: int = 443, server: str = V4, **facts: Any) -> Row:
    """A connection whose client sent a ClientHello in one segment and got no answer."""
    return opened(at, port, server, **({"protocol": "tls", "hello_segments": 1} | facts))


def stuck(at: float = 1.0, port: int = 443, **facts: Any) -> Row:
    """A connection whose client repeats a large first segment in vain while a smaller one got through."""
    usual = {"stuck_by": "client", "stuck_length": 1448, "stuck_repeats": 5, "stuck_ns": 6 * SECOND}
    return hello(at, port, **(usual | {"small_passed": True, "client_acked": "none", "last_client_data": 6.0} | facts))


def busy_tcp() -> list[Row]:
    """Connections with which every pattern about TCP segments fires."""
    return [
        opened(40, 8001, client_fin=6.0, roles_from="port"),
        opened(40.1, 8002, server_fin=0.2),
        opened(40.2, 8003, server_rst=0.2),
        opened(40.3, 8004, zero_window_by="server", zero_window_ns=3 * SECOND, server_fin=9.0, client_fin=8.0),
        opened(40.25, 8012, server_rst=0.2, reset_ttl_gap=12),
        served(40.35, 8013, owed=100, client_fin=8.0, server_fin=-1),
        *(hello(46 + i, 8014, hello_segments=2, client_fin=6.0) for i in range(2)),
        *(hello(48 + i, 8014, first_server_data=0.1, server_bytes=900, client_fin=6.0) for i in range(2)),
        *(served(50 + i / 10, 8015, client_port=50_000 + i % MANY_PORTS) for i in range(MANY_PORTS + 1)),
        hello(40.4, 8005, client_fin=6.0),
        hello(40.5, 8006, alert_by="server", alert_code=40, first_server_data=0.1),
        stuck(40.6, 8007),
        stuck(40.7, 8008, stuck_length=300, small_passed=False),
        served(40.8, 8009, challenged=True, repeats=1),
        *(served(41 + i, 8010, repeats=1, reply=1.03) for i in range(3)),
        *(opened(44 + i / 10, 8011, client_fin=6.0) for i in range(3)),
        tcp(V4, 45, server_port=8011, outcome="silent", repeats=3),
    ]
