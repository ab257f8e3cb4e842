"""TCP as an observer sees it."""

from analyzer.events.tcp.reader import ACK, FIN, RST, SYN, tcp_connections

__all__ = ["ACK", "FIN", "RST", "SYN", "tcp_connections"]
