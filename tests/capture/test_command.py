"""The tcpdump command: tcpdump compiles every filter, and what passes is what a judgement needs."""

from __future__ import annotations

import itertools
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from analyzer.analysis import analyse
from analyzer.capture.command import Wanted, advice, capture_command, capture_filter
from analyzer.errors import UsageError

HOSTS = ((), ("192.0.2.80",), ("192.0.2.80", "[2001:db8:1::80]"))
PORTS = ((443,), (80, 443, 8443))
ALL = [
    Wanted(hosts=hosts, ports=ports, handshakes=handshakes, vlan=vlan)
    for hosts, ports, handshakes, vlan in itertools.product(HOSTS, PORTS, (False, True), (False, True))
]


@pytest.fixture(scope="module")
def tcpdump() -> str:
    found = shutil.which("tcpdump") or shutil.which("tcpdump", path="/usr/sbin:/sbin")
    if not found:
        pytest.skip("tcpdump is not installed")
    return found


#: Every filter with the link type of its interface; on "any" libpcap knows no VLAN tags, and the command refuses.
COMPILED = [
    (wanted, link_type)
    for wanted in ALL
    for link_type in ("EN10MB", "LINUX_SLL2")
    if link_type == "EN10MB" or not wanted.vlan
]


@pytest.mark.parametrize(("wanted", "link_type"), COMPILED, ids=range(len(COMPILED)))
def test_tcpdump_compiles_every_filter(tcpdump: str, wanted: Wanted, link_type: str) -> None:
    done = subprocess.run([tcpdump, "-y", link_type, "-d", capture_filter(wanted)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"ret      #0\n" in done.stdout


def passed(tcpdump: str, wanted: Wanted, capture: Path, folder: Path) -> str:
    output = folder / "passed.pcap"
    subprocess.run([tcpdump, "-r", capture, "-w", output, capture_filter(wanted)], check=True, capture_output=True)
    return str(output)


def found(path: str) -> list[tuple[object, ...]]:
    findings = analyse([path]).document["findings"]
    return [(each["pattern"], each["server"], each["counts"]) for each in findings if each["severity"] != "info"]


@pytest.mark.parametrize("handshakes", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        "02-caddy-ipv4-silent/nft-output-drop",
        "05-wrong-source-address/aioquic-v4",
        "16-quic-one-family-listener/nginx-quic-v4-only",
    ],
)
def test_what_passes_is_judged_as_the_whole(
    tcpdump: str, captures: Path, case: str, tmp_path: Path, handshakes: bool
) -> None:
    whole = captures / case / "server.pcap"
    path = passed(tcpdump, Wanted(handshakes=handshakes), whole, tmp_path)
    assert found(path) == found(str(whole))


def test_hosts_narrow_the_ports_and_nothing_else(tcpdump: str, silent_capture: Path, tmp_path: Path) -> None:
    path = passed(tcpdump, Wanted(hosts=("2001:db8:1::80",)), silent_capture, tmp_path)
    analysis = analyse([path])
    assert set(analysis.sockets["address"].tolist()) == {"2001:db8:1::80"}
    assert "arp" in analysis.packets["kind"].tolist()


def test_the_command_is_one_line_for_a_shell() -> None:
    wanted = Wanted(interface="en p0", filename="it's.pcap", megabytes=50, files=3)
    words = shlex.split(capture_command(wanted))
    assert words[:3] == ["tcpdump", "-i", "en p0"]
    assert words[words.index("-w") + 1] == "it's.pcap"
    assert words[-1] == capture_filter(wanted)
    assert int(words[words.index("-s") + 1]) >= 2 * 1452 + 62


@pytest.mark.parametrize(
    "wanted", [Wanted(hosts=("example.com",)), Wanted(ports=(0,)), Wanted(ports=(65536,)), Wanted(ports=())]
)
def test_what_is_no_address_or_port_is_a_usage_error(wanted: Wanted) -> None:
    with pytest.raises(UsageError):
        capture_filter(wanted)


def test_vlan_tags_need_a_named_interface() -> None:
    assert "vlan and" in capture_command(Wanted(interface="eth0", vlan=True))
    with pytest.raises(UsageError, match="'any'"):
        capture_command(Wanted(vlan=True))


def test_one_family_alone_is_advised_against() -> None:
    assert any("IPv6" in sentence for sentence in advice(Wanted(hosts=("192.0.2.80",))))
    assert not any("family" in sentence for sentence in advice(Wanted(hosts=("192.0.2.80", "2001:db8::80"))))
