"""The workloads of the benchmark: ``python -m benchmarks.workloads mix`` writes ``benchmarks/work/mix.pcap``.

Real connections from ``captures/`` are told again with fresh addresses, ports and connection IDs, their Initials
sealed again; their bulk packets are repeated. The seed is fixed: the same captures give the same bytes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.templates import read_templates
from benchmarks.traffic import Traffic, Workload, make_traffic
from benchmarks.writing import write_pcap

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmarks" / "work"

#: Bulk HTTP/3 and HTTP/2 transfers, about 930 bytes a packet, some hundreds of connections at a time.
MIX = Workload("mix", 1_500_000, 6_000, unanswered=0.1, quic=0.6, bulk=0.65, lasts_s=120, transfer_s=(2, 14))
#: Short QUIC connections, two hundred new ones a second, every other one unanswered.
FLOOD = Workload("flood", 430_000, 40_000, unanswered=0.5, quic=1.0, bulk=0.0, lasts_s=200, transfer_s=(0.05, 0.5))
#: The connections of ``mix``, each twice as long: the capture grows, what must be remembered does not.
LONG = replace(MIX, name="long", packets=2 * MIX.packets, lasts_s=2 * MIX.lasts_s, transfer_s=(4, 28))
WORKLOADS = {workload.name: workload for workload in (MIX, FLOOD, LONG)}


def make_workload(workload: Workload, filename: Path) -> Traffic:
    """Write the workload as a pcap file, whole or not at all."""
    traffic = make_traffic(workload, read_templates(ROOT))
    filename.parent.mkdir(parents=True, exist_ok=True)
    unfinished = filename.with_suffix(".unfinished")
    write_pcap(unfinished, *traffic)
    unfinished.replace(filename)
    return traffic


def main() -> None:
    """Make the workloads that are named and say what was made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("workload", nargs="+", choices=sorted(WORKLOADS))
    parser.add_argument("--times", type=int, default=1, help="so many times the packets and connections")
    parser.add_argument("--work", type=Path, default=WORK, help="folder to write into")
    options = parser.parse_args()
    for name in options.workload:
        workload = WORKLOADS[name].times(options.times)
        filename = options.work / f"{workload.name}.pcap"
        began = time.perf_counter()
        traffic = make_workload(workload, filename)
        packets, connections = len(traffic.packets.time_us), len(traffic.connections.family)
        took, size = time.perf_counter() - began, filename.stat().st_size / 1e6
        print(f"{filename}: {packets:,} packets, {connections:,} connections, {size:,.0f} MB in {took:.1f} s")


if __name__ == "__main__":
    main()
