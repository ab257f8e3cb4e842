"""Known incidents: read from TOML, matched with findings, best first, each with what speaks for and against it.

How it works
------------
Each file of ``incidents/`` is one incident. It names the patterns that it fits, conditions that must hold (``needs``),
and signs ``for`` and ``against`` it: a condition, a weight (1 where none is given; 0 is said and not counted) and a
sentence. The score is the sum of the signs that hold. Incidents that look alike and ask for opposite remedies name each
other (``together``) and are shown next to each other. SERVER_ADDRESS and SERVER_PORT in a text to type become those of
the finding. A folder of the user's own, named by ``HALFSHAKE_INCIDENTS``, is
read too.
"""

from __future__ import annotations

import functools
import os
import textwrap
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analyzer.errors import UsageError, did_you_mean
from analyzer.exchanges.view import View
from analyzer.knowledge.conditions import Condition, read_condition
from analyzer.knowledge.facts import Facts
from analyzer.patterns.finding import Finding

FOLDER = Path(__file__).parent / "incidents"
OWN_FOLDER = "HALFSHAKE_INCIDENTS"

MOST_CAUSES = 5
LIKELY, POSSIBLE = 4, 1  # least score for these words; below, it is shown beside its opposite alone
_LESS_LIKELY = "less likely"
_INDENT = "    "

_TEXTS = ("id", "title", "cause", "confirm", "workaround", "fix", "url")
_LISTS = ("software", "patterns", "needs", "together", "more")
_SIGNS = ("for", "against")


@dataclass(frozen=True, slots=True)
class Sign:
    """What speaks for or against an incident where its condition holds."""

    condition: Condition
    weight: float
    says: str


@dataclass(frozen=True, slots=True)
class Incident:
    """One known incident; ``more`` are further links, ``software`` says versions in words."""

    id: str
    title: str
    software: tuple[str, ...]
    patterns: tuple[str, ...]
    needs: tuple[Condition, ...]
    signs_for: tuple[Sign, ...]
    signs_against: tuple[Sign, ...]
    cause: str
    confirm: str
    workaround: str
    fix: str
    url: str
    together: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


def with_causes(findings: Sequence[Finding], view: View) -> tuple[Finding, ...]:
    """The findings with the known incidents that fit each, best first, at most ``MOST_CAUSES``."""
    if not findings:
        return ()
    fitting = incidents_naming(frozenset(finding.pattern for finding in findings))
    return tuple(replace(finding, causes=_causes(Facts(finding, view), fitting)) for finding in findings)


def _causes(facts: Facts, incidents: Sequence[Incident]) -> tuple[Mapping[str, object], ...]:
    pattern = facts.finding.pattern
    scored = []
    for place, incident in enumerate(incidents):
        if pattern in incident.patterns and all(need.holds(facts) for need in incident.needs):
            pro = [sign for sign in incident.signs_for if sign.condition.holds(facts)]
            contra = [sign for sign in incident.signs_against if sign.condition.holds(facts)]
            score = sum(sign.weight for sign in pro) - sum(sign.weight for sign in contra)
            rank = incident.patterns.index(pattern)  # what an incident is known for stands first
            if pro and score >= 0:
                scored.append((-score, rank, place, _cause(incident, score, (pro, contra)) | _told(incident, facts)))
    scored.sort(key=lambda each: each[:3])
    together = {incident.id: incident.together for incident in incidents}
    return tuple(_side_by_side([cause for *_, cause in scored], together)[:MOST_CAUSES])


def _side_by_side(causes: list[dict[str, object]], together: Mapping[str, tuple[str, ...]]) -> list[dict[str, object]]:
    """Those that fit, and after each the ones that ask for opposite remedies, even where they fit less."""
    waiting = {str(cause["incident"]): cause for cause in causes}
    ordered: list[dict[str, object]] = []
    for cause in causes:
        if cause["fit"] != _LESS_LIKELY:
            names = (str(cause["incident"]), *together[str(cause["incident"])])
            ordered += [waiting.pop(name) for name in names if name in waiting]
    return ordered


def _cause(incident: Incident, score: float, signs: tuple[list[Sign], list[Sign]]) -> dict[str, object]:
    """An entry of ``causes`` in the report document."""
    fit = "likely" if score >= LIKELY else "possible" if score >= POSSIBLE else _LESS_LIKELY
    return {
        "incident": incident.id,
        "fit": fit,
        "for": [sign.says for sign in signs[0]],
        "against": [sign.says for sign in signs[1]],
    }


def _told(incident: Incident, facts: Facts) -> dict[str, object]:
    """What to type and to do, with the finding's server in place of SERVER_ADDRESS and SERVER_PORT."""
    address, port = facts.finding.server or ("", -1)
    filled = {"SERVER_ADDRESS": address or "ADDRESS", "SERVER_PORT": str(port) if port >= 0 else "PORT"}

    def fill(text: str) -> str:
        for word, value in filled.items():
            text = text.replace(word, value)
        return text

    told = {name: fill(getattr(incident, name)) for name in ("confirm", "workaround", "fix")}
    return {**told, "url": incident.url}


def incidents() -> tuple[Incident, ...]:
    """All known incidents in the order of their ids, those of the user's folder included."""
    return incidents_naming(frozenset())


@functools.cache
def incidents_naming(patterns: frozenset[str]) -> tuple[Incident, ...]:
    """The incidents that may fit one of some patterns, or all for none; the texts of our others are not parsed.

    All of the user's are read, so that mistakes in them are told.
    """
    found = {incident.id: incident for incident in read_folder(FOLDER, patterns)}
    if own := os.environ.get(OWN_FOLDER):
        found |= {incident.id: incident for incident in read_folder(Path(own))}
    return tuple(found[name] for name in sorted(found))


def known(name: str) -> Incident:
    """The incident with this id; raises UsageError where there is none."""
    for incident in incidents():
        if incident.id == name:
            return incident
    hint = did_you_mean(name, [incident.id for incident in incidents()])
    raise UsageError(f"there is no incident {name!r}; {hint or '`halfshake explain --incidents` lists them'}")


def page(name: str) -> str:
    """What is known of an incident, for people; raises UsageError for an id that does not exist."""
    incident = known(name)
    lines = [f"{incident.id}: {incident.title}", ""]
    for title, text in (
        ("Cause", incident.cause),
        ("Confirm", incident.confirm),
        ("Workaround", incident.workaround),
        ("Fix", incident.fix),
    ):
        lines += [title, *textwrap.wrap(text, 116, initial_indent=_INDENT, subsequent_indent=_INDENT), ""]
    signs = [f"+{sign.weight:g} {sign.says}" for sign in incident.signs_for]
    signs += [f"{f'-{sign.weight:g}' if sign.weight else ' 0'} {sign.says}" for sign in incident.signs_against]
    for title, items in (
        ("Software", incident.software),
        ("Patterns that it fits", incident.patterns),
        ("Only where", tuple(need.text for need in incident.needs)),
        ("What speaks for (+) and against it (-)", tuple(signs)),
        ("Looks alike and asks for another remedy", incident.together),
        ("Links", (incident.url, *incident.more)),
    ):
        if items:
            lines += [title, *(f"{_INDENT}{item}" for item in items), ""]
    return "\n".join(lines)


def read_folder(folder: Path, naming: Collection[str] = ()) -> Iterator[Incident]:
    """The incidents of a folder, or those whose text names one of some patterns.

    Raises UsageError that names the file that cannot be understood.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError as error:
        raise UsageError(f"cannot read the folder of incidents {folder}: {error.strerror}") from error
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            if not naming or any(name in text for name in naming):
                yield read_incident(tomllib.loads(text))
        except (UsageError, OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{path}: {error}") from error


def read_incident(table: Mapping[str, Any]) -> Incident:
    """An incident from its TOML table; raises UsageError with what is wrong."""
    if unknown := set(table) - {*_TEXTS, *_LISTS, *_SIGNS}:
        raise UsageError(f"unknown keys: {', '.join(sorted(unknown))}")
    if missing := [key for key in _TEXTS if not isinstance(table.get(key), str)]:
        raise UsageError(f"these texts are missing: {', '.join(missing)}")
    texts = {key: " ".join(table[key].split()) for key in _TEXTS}
    lists = {key: _texts(key, table.get(key, [])) for key in _LISTS}
    return Incident(
        **texts,
        software=lists["software"],
        patterns=lists["patterns"],
        together=lists["together"],
        more=lists["more"],
        needs=tuple(read_condition(need) for need in lists["needs"]),
        signs_for=_signs(table.get("for", [])),
        signs_against=_signs(table.get("against", [])),
    )


def _texts(key: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{key} must be a list of texts")
    return tuple(values)


def _signs(tables: Any) -> tuple[Sign, ...]:
    signs = []
    for table in tables if isinstance(tables, list) else [tables]:
        if not isinstance(table, dict) or not {"if", "says"} <= set(table) <= {"if", "says", "weight"}:
            raise UsageError("a sign has the keys if, says and, if need be, weight")
        weight = table.get("weight", 1)
        if (
            not isinstance(weight, int | float)
            or not isinstance(table["says"], str)
            or not isinstance(table["if"], str)
        ):
            raise UsageError("a sign's weight must be a number, its if and says texts")
        signs.append(Sign(read_condition(table["if"]), float(weight), table["says"]))
    return tuple(signs)
