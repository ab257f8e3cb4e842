"""halfshake: which sockets in a packet capture did not answer, over which address family, since when, and why.

``open`` is the door for Python and Jupyter; ``own_pattern`` makes a pattern of a function, ``explain`` is the page of a
pattern. Each is imported when it is first asked for, so that ``import analyzer`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from analyzer.version import __version__

if TYPE_CHECKING:
    from analyzer.api.capture import Capture, open
    from analyzer.errors import AnalyzerError, CaptureError, UsageError
    from analyzer.patterns.catalogue import explain
    from analyzer.patterns.own import own_pattern

_PLACES = {
    "open": "analyzer.api.capture",
    "Capture": "analyzer.api.capture",
    "own_pattern": "analyzer.patterns.own",
    "explain": "analyzer.patterns.catalogue",
    "AnalyzerError": "analyzer.errors",
    "CaptureError": "analyzer.errors",
    "UsageError": "analyzer.errors",
}

__all__ = [
    "AnalyzerError",
    "Capture",
    "CaptureError",
    "UsageError",
    "__version__",
    "explain",
    "open",
    "own_pattern",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
