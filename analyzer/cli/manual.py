"""The manual page, made from the commands: ``python -m analyzer.cli.manual > docs/halfshake.1``; a test compares them.

Written in the macros of man(7), which every system with a ``man`` command has.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator

import click

from analyzer.cli.main import main

_STATUS = (
    ("0", "analysed; findings are no error, and neither is a capture that was cut short"),
    ("1", "--fail-on was given and there is such a finding; an expectation does not hold; it got worse"),
    ("2", "wrong usage, or a file that cannot be read as a capture, or written"),
    ("3", "check cannot be decided"),
    ("130", "interrupted"),
)
_ENVIRONMENT = (
    ("NO_COLOR", "no colours on the terminal, if it is set and not empty"),
    ("HALFSHAKE_INCIDENTS", "a folder with incidents of your own"),
)


def manual() -> str:
    """The page in roff."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    context = click.Context(main, info_name="halfshake", help_option_names=["-h", "--help"])
    summary, examples, _ = _parts(main)
    yield '.TH HALFSHAKE 1 "" "halfshake" "User Commands"'
    yield from (".SH NAME", "halfshake \\- say from packet captures which sockets do not answer, since when and why")
    yield from (".SH SYNOPSIS", ".B halfshake", ".I COMMAND", "[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]")
    yield from (".SH DESCRIPTION", _roff(summary), *_block(examples))
    yield from _options(main, context)
    yield ".SH COMMANDS"
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is not None:
            yield from _command(name, command, context)
    for title, entries in (("EXIT STATUS", _STATUS), ("ENVIRONMENT", _ENVIRONMENT)):
        yield f".SH {title}"
        for term, meaning in entries:
            yield from (".TP", f".B {_roff(term)}", _roff(meaning))


def _command(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    inner = click.Context(command, info_name=name, parent=context)
    summary, examples, rest = _parts(command)
    arguments = [
        each.metavar or each.human_readable_name for each in command.params if isinstance(each, click.Argument)
    ]
    yield f".SS {_roff(' '.join(['halfshake', name, '[OPTIONS]', *arguments]))}"
    yield _roff(summary)
    yield from _block(examples)
    for paragraph, is_block in rest:
        yield from _block(paragraph) if is_block else (".PP", _roff(" ".join(paragraph.split())))
    yield from _options(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for option in command.get_params(context):
        if not isinstance(option, click.Option) or option.hidden:
            continue
        value = ""
        if not option.is_flag:
            choices = getattr(option.type, "choices", ())
            value = " " + (option.metavar or "|".join(map(str, choices)) or option.type.name.upper())
        default = f" ({option.default} if not given.)" if option.show_default else ""
        yield from (".TP", f".B {_roff(', '.join(option.opts) + value)}", _roff((option.help or "") + default))


def _parts(command: click.Command) -> tuple[str, str, list[tuple[str, bool]]]:
    """The first sentence, the examples, and the other paragraphs, True for those that keep their lines."""
    pieces = re.split(r"\n\s*\n", inspect.cleandoc(command.help or ""))
    marked = [(piece.removeprefix("\b\n"), piece.startswith("\b")) for piece in pieces]
    examples = next((at for at, (piece, kept) in enumerate(marked) if kept and "halfshake " in piece), -1)
    rest = [part for at, part in enumerate(marked) if at not in (0, examples)]
    return " ".join(marked[0][0].split()), marked[examples][0] if examples >= 0 else "", rest


def _block(text: str) -> list[str]:
    """Lines that stay as they are."""
    return [".PP", ".RS 4", ".nf", *map(_roff, text.splitlines()), ".fi", ".RE"] if text else []


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.write(manual())
