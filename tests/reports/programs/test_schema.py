"""The published schema of report.json: it is what the module makes, and every document follows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analyzer.analysis import analyse
from analyzer.reports.export import document_json
from analyzer.reports.programs.schema import report_schema, schema_json

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "analyzer" / "reports" / "schemas" / "report.schema.json"
ALL = sorted(path for path in (ROOT / "captures").rglob("*.pcap*") if path.is_file())


def strict(definition: Any) -> Any:
    """The same schema, in which a key that it does not name is an error."""
    if isinstance(definition, list):
        return [strict(each) for each in definition]
    if not isinstance(definition, dict):
        return definition
    made = {key: strict(value) for key, value in definition.items()}
    return made | ({"additionalProperties": False} if made.get("type") == "object" else {})


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(report_schema())
    return jsonschema.Draft202012Validator(strict(report_schema()))


def test_the_published_file_is_what_the_module_makes() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_json()


@pytest.mark.parametrize("capture", ALL, ids=lambda path: "/".join(path.parts[-3:]))
def test_every_document_follows_it_to_the_last_key(validator: Any, capture: Path) -> None:
    validator.validate(json.loads(document_json(analyse([str(capture)]).document)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "halfshake-report/2"),
        (("findings", 0, "severity"), "fatal"),
        (("findings", 0, "records", 0), [0]),
        (("findings", 0, "onset"), "yesterday"),
        (("sockets", 0, "attempts"), "five"),
        (("captures", 0, "ledger", "decoded"), -1),
    ],
)
def test_what_does_not_follow_it_is_told(
    validator: Any, silent_capture: Path, path: tuple[str | int, ...], value: Any
) -> None:
    document = json.loads(document_json(analyse([str(silent_capture)]).document))
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(document)
