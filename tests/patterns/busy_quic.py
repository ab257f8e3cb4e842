"""Connections of which each makes one pattern of QUIC fire, all on one server of their own."""

from __future__ import annotations

from tests.patterns.tables import Row
from tests.patterns.test_quic_amplification_stall import held_up
from tests.patterns.test_quic_client_hello_incomplete import holed
from tests.patterns.test_quic_connection_silent import left
from tests.patterns.test_quic_handshake_closed import closed
from tests.patterns.test_quic_handshake_stalled import stalled
from tests.patterns.test_quic_initial_acked_only import acked
from tests.patterns.test_quic_initial_undersized import small
from tests.patterns.test_quic_path_change_silent import moved
from tests.patterns.test_quic_retry_failed import retried
from tests.patterns.test_quic_server_initial_missing import without_initial
from tests.patterns.test_quic_stateless_reset import reset
from tests.patterns.test_quic_version_mismatch import negotiated

SERVER = "192.0.2.90"


def busy_quic() -> list[Row]:
    """One connection for each pattern."""
    rows = [
        held_up(1), holed(2), left(at=3), closed(4), stalled(5), acked(6), small(7), moved(8), retried(9),
        without_initial(10), reset(11), negotiated(12),
    ]  # fmt: skip
    own = {"server_address": SERVER, "server_host": "H3"}
    return [row | own | {"client_port": 50000 + i} for i, row in enumerate(rows)]
