"""The command line. Each command imports what it needs when it runs: ``--version`` and ``--help`` are instant."""

from __future__ import annotations

import click

from analyzer.version import __version__

_COMMANDS = {
    "analyze": "analyzer.cli.analyze:analyze",
    "export": "analyzer.cli.export:export",
    "check": "analyzer.cli.check:check",
    "compare": "analyzer.cli.compare:compare",
    "excerpt": "analyzer.cli.excerpt:excerpt",
    "explain": "analyzer.cli.explain:explain",
    "capture-command": "analyzer.cli.capture_command:capture_command",
    "watch": "analyzer.cli.watch:watch",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(cmd_name)
        if target is None:
            return None
        import importlib

        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        from analyzer.cli.ending import polite

        with polite():
            return super().invoke(ctx)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="halfshake")
def main() -> None:
    """Find out from packet captures which sockets do not answer, over which address family, since when and why.

    \b
    halfshake analyze server.pcap                 the verdict
    halfshake analyze server.pcap -o report       with a report to attach to a ticket
    halfshake export connections server.pcap      a table, as CSV
    halfshake excerpt server.pcap --finding F1 -o f1.pcapng
    halfshake explain quic-initial-no-reply       what a pattern means
    """
