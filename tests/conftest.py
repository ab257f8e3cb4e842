"""What all tests share: the recorded captures, and programs that may not be installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

# No window system, and never a window.
os.environ["MPLBACKEND"] = "Agg"

# Generated input is the same in every run; how long one example takes says nothing on a busy machine.
hypothesis.settings.register_profile("halfshake", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("halfshake")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of recorded captures."""
    return ROOT / "captures"


@pytest.fixture(scope="session")
def silent_capture(captures: Path) -> Path:
    """A server whose IPv4 socket never answers QUIC, recorded at the server."""
    return captures / "02-caddy-ipv4-silent" / "nft-output-drop" / "server.pcap"


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


@pytest.fixture(scope="session")
def tshark() -> str:
    """Wireshark's command line; tests that ask for it skip where it is not installed."""
    return _program("tshark")


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser without a window; tests that ask for it skip where none is installed."""
    return _program("chromium", "chromium-browser", "google-chrome")
