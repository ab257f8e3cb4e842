"""The verdict and the comparison of two captures, as a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.reports.checks.comparison import Change, changes, is_worse
from analyzer.reports.summary import Analysed, socket_groups, verdict_of
from analyzer.reports.terminal import verdict as verdict_page
from analyzer.reports.text import prose, visible

if TYPE_CHECKING:
    import pandas

_WIDTH = 100
_LEVELS = {"worse": "error", "better": "good"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """``level`` is error, warning, good or unknown; ``word`` and ``sentence`` say it; ``str()`` is the whole page."""

    level: str
    word: str
    sentence: str
    page: str

    def __str__(self) -> str:
        return self.page

    def __repr__(self) -> str:
        return visible(f"{self.word}: {self.sentence}")

    def _repr_html_(self) -> str:
        from analyzer.api.display import verdict_html

        return verdict_html(self.level, self.word, self.sentence)

    def _repr_markdown_(self) -> str:
        return f"**{prose(self.word)}**: {prose(self.sentence)}\n"


def verdict_of_analysis(analysis: Analysed) -> Verdict:
    """The verdict with its page."""
    answer = verdict_of(analysis, socket_groups(analysis))
    page = verdict_page(analysis, color=False, width=_WIDTH, full=False)
    return Verdict(answer.level, answer.word, answer.sentence, page)


@dataclass(frozen=True)
class Comparison:
    """What changed between two captures, the worse first."""

    changes: Sequence[Change]

    @property
    def is_worse(self) -> bool:
        """Whether anything got worse beyond what chance may explain."""
        return is_worse(list(self.changes))

    @property
    def frame(self) -> pandas.DataFrame:
        """A row for each change: direction (worse, better, changed), what (socket, finding, family), sentence."""
        import pandas

        rows = [(change.direction, change.what, visible(change.sentence)) for change in self.changes]
        frame = pandas.DataFrame(rows, columns=["direction", "what", "sentence"], dtype="str")
        return frame.astype({"direction": pandas.CategoricalDtype(["worse", "better", "changed"]), "what": "category"})

    def __repr__(self) -> str:
        return "\n".join(visible(f"{each.direction:<7}  {each.sentence}") for each in self.changes) or "nothing changed"

    def _repr_html_(self) -> str:
        from analyzer.api.display import verdict_html

        lines = [
            verdict_html(_LEVELS.get(each.direction, "info"), each.direction, each.sentence) for each in self.changes
        ]
        return "".join(lines) or "<p>nothing changed</p>"

    def _repr_markdown_(self) -> str:
        lines = [f"- **{each.direction}**: {prose(each.sentence)}" for each in self.changes]
        return "\n".join(lines or ["nothing changed"]) + "\n"


def compared(before: Analysed, after: Analysed) -> Comparison:
    """The comparison of two analyses."""
    return Comparison(tuple(changes(before, after)))
