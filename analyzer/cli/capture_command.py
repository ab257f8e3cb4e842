"""``halfshake capture-command``: how to record what halfshake can judge."""

from __future__ import annotations

import click

from analyzer.cli.ending import Command


@click.command("capture-command", cls=Command, short_help="Print the tcpdump command for a capture that can be judged.")
@click.option("-i", "--interface", default="any", show_default=True, help="Network interface.")
@click.option(
    "--host", "hosts", metavar="ADDRESS", multiple=True, help="Only this address; give those of both families."
)
@click.option(
    "--port", "ports", metavar="PORT", type=int, multiple=True, default=(443,), help="443 if not given; repeatable."
)
@click.option("--handshakes", is_flag=True, help="Only the handshakes: QUIC long headers, TCP SYN and RST.")
@click.option("--vlan", is_flag=True, help="Also packets with a VLAN tag.")
@click.option("-w", "--write", "filename", metavar="FILE", default="halfshake.pcap", show_default=True)
@click.option("--megabytes", type=click.IntRange(1), default=100, show_default=True, help="Of one file of the ring.")
@click.option("--files", type=click.IntRange(1), default=20, show_default=True, help="Files of the ring.")
@click.option("-q", "--quiet", is_flag=True, help="No advice on stderr.")
def capture_command(
    interface: str,
    hosts: tuple[str, ...],
    ports: tuple[int, ...],
    handshakes: bool,
    vlan: bool,
    filename: str,
    megabytes: int,
    files: int,
    quiet: bool,
) -> None:
    """Print a tcpdump command: both address families, UDP and TCP, DNS, ICMP, ARP and Neighbour Discovery.

    \b
    halfshake capture-command -i eth0
    halfshake capture-command -i eth0 --host 192.0.2.80 --host 2001:db8::80 --port 443 --port 8443
    sudo sh -c "$(halfshake capture-command -i eth0 --handshakes)"

    The packets go into a ring of files, each cut to what holds an Initial whole.
    """
    from analyzer.capture.command import Wanted, advice
    from analyzer.capture.command import capture_command as command_of

    wanted = Wanted(interface, hosts, ports, handshakes, vlan, filename, megabytes, files)
    click.echo(command_of(wanted))
    for sentence in () if quiet else advice(wanted):
        click.echo(sentence, err=True)
