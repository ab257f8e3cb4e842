"""The connections of an analysis: judged, and as a table."""

from analyzer.exchanges.connections.judged import MOST_RECORDS, Judge, Judged
from analyzer.exchanges.connections.table import connections_table

__all__ = ["MOST_RECORDS", "Judge", "Judged", "connections_table"]
