"""Words that a command knows: choices that name the nearest one on a typo, and what a shell may complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from analyzer.errors import did_you_mean

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

SHELLS = ("bash", "zsh", "fish")
COMPLETE_VARIABLE = "_HALFSHAKE_COMPLETE"


class Word(click.Choice[str]):
    """A choice whose error says which word was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = did_you_mean(str(value), self.choices)
            message = f"{error.message.rstrip('.')}; {hint}" if hint else error.message
            raise click.BadParameter(message, ctx, param) from error


def words(known: Callable[[], Iterable[str]]) -> Complete:
    """Completion of an argument or option by words that are looked up only then."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in known() if word.startswith(incomplete)]

    return complete


def pattern_ids() -> list[str]:
    """The ids of all patterns."""
    from analyzer.patterns import catalogue

    return [module.PATTERN.id for module in catalogue.CATALOGUE]


def incident_ids() -> list[str]:
    """The ids of the known incidents."""
    from analyzer.knowledge import incidents

    return [incident.id for incident in incidents.incidents()]


def completion_script(command: click.Command, shell: str) -> str:
    """What a shell has to read so that it completes commands, options and words of halfshake."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}; there is one for {', '.join(SHELLS)}")
    return found(command, {}, "halfshake", COMPLETE_VARIABLE).source()
