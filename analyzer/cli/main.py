"""The command line. Each command imports what it needs when it runs: ``--version`` and ``--help`` are instant."""

from __future__ import annotations

import os

import click

from analyzer.version import __version__

# numpy's linear algebra is not used here: its threads would only wait, and they wait by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_COMMANDS = {
    "analyze": "analyzer.cli.analyze:analyze",
    "export": "analyzer.cli.export:export",
    "check": "analyzer.cli.check:check",
    "compare": "analyzer.cli.compare:compare",
    "excerpt": "analyzer.cli.excerpt:excerpt",
    "explain": "analyzer.cli.explain:explain",
    "crosscheck": "analyzer.cli.crosscheck:crosscheck",
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS:
            from analyzer.errors import did_you_mean

            hint = did_you_mean(args[0], _COMMANDS)
            if not hint and os.path.exists(args[0]):
                hint = f"to analyse the file: halfshake analyze {args[0]}"
            ctx.fail(f"No such command {args[0]!r}{'; ' if hint else ''}{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        from analyzer.cli.ending import polite

        with polite():
            return super().invoke(ctx)


def _completion(context: click.Context, _parameter: click.Parameter, shell: str | None) -> None:
    if shell is None:
        return
    from analyzer.cli.words import completion_script

    click.echo(completion_script(context.command, shell))
    context.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="halfshake")
@click.option(
    "--completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    callback=_completion,
    expose_value=False,
    is_eager=True,
    help='Print what makes a shell complete commands and options: eval "$(halfshake --completion bash)".',
)
def main() -> None:
    """Find out from packet captures which sockets do not answer, over which address family, since when and why.

    \b
    halfshake analyze server.pcap                 the verdict
    halfshake analyze server.pcap -o report       with a report to attach to a ticket
    halfshake export connections server.pcap      a table, as CSV
    halfshake excerpt server.pcap --finding F1 -o f1.pcapng
    halfshake explain quic-initial-no-reply       what a pattern means
    """


def run() -> None:
    """``main`` as a program: when it is done the process is left as ``ending.leave`` says."""
    from analyzer.cli.ending import leave

    try:
        main()
    except SystemExit as end:
        leave(end)
