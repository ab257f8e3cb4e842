"""The kernels of QUIC flows, built by a second process while this one builds those that scan: once for each version."""

from __future__ import annotations

import contextlib
import subprocess

from analyzer.events.quic.plain import judge_flows
from analyzer.events.quic.portions import write_cids
from analyzer.kernels import cache_folder, runner
from analyzer.processes import processors, python_beside
from analyzer.wire.offered_names import find_names, find_same_names
from analyzer.wire.quic.first_message import copy_messages, gather_messages
from analyzer.wire.quic.key_schedule import derive_initial_keys
from analyzer.wire.quic.split import split_datagrams

KERNELS = (
    *(derive_initial_keys, split_datagrams, judge_flows, write_cids),
    *(gather_messages, copy_messages, find_names, find_same_names),
)

_TARGET = "analyzer.fleet.building:build"
_started: list[subprocess.Popen[bytes]] = []


def build_beside() -> None:
    """Start the second process where no kernel was built yet; it ends by itself, and nobody waits for it."""
    if processors() > 1 and not any(cache_folder().glob("*.o")):
        with contextlib.suppress(OSError):  # no processes to be had: they are built here when they are needed
            _started.append(python_beside(_TARGET, stderr=subprocess.DEVNULL))


def build() -> None:
    """The second process."""
    for kernel in KERNELS:
        runner(kernel, True)
