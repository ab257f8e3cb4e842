"""``report.html``: one file that opens offline, with nothing that it could fetch and no script but its own.

jinja2 escapes every value; ``finalize`` makes each printable before that, so that no template line can forget it.
The style sheet and the script stand in the page and are allowed by their SHA-256 alone; everything else is
forbidden by the page's Content-Security-Policy, so it holds no style attribute and no event attribute either.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.kernels import cache_folder
from analyzer.patterns.words import FAMILIES
from analyzer.reports.connection_rows import Rows
from analyzer.reports.ladder import telling_connections
from analyzer.reports.plots import inline_svg
from analyzer.reports.summary import (
    OUTCOMES,
    Analysed,
    SocketGroup,
    SocketLine,
    cannot_show,
    cited_records,
    ledger_lines,
    severity_counts,
    share_text,
    since,
    socket_groups,
    totals,
    verdict_of,
)
from analyzer.reports.text import marked, seconds, utc, visible, web_address
from analyzer.reports.tree import told_once, tree, untold

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

MOST_GROUPS = 12
MOST_SOCKETS = 5_000
_TEMPLATES = Path(__file__).parent / "templates"
_PLOTS = "\0"  # what is printed has none
_PLOT_TITLES = {
    "timeline": "Attempts and answers over time, a row per server socket and address family",
    "reply-latency": "Share of attempts answered within a time, a curve per transport and address family",
    "ports": "Client ports against time, marked by outcome",
    "amplification": "Bytes of the server against the anti-amplification limit, over time",
    "waterfall": "Handshakes of the telling connections, what each waited for",
}


def page_without_plots(analysis: Analysed, rows: Rows) -> str:
    """The page with these rows of its table of connections and ``_PLOTS`` where the plots belong."""
    return _template().render(_content(analysis, rows)).rstrip() + "\n"


def with_plots(page: str, figures: Sequence[str]) -> str:
    """The page with its plots as ``figure_of`` gives them."""
    return page.replace(_PLOTS, "\n".join(figures), 1)


def figure_of(name: str, svg: str) -> str:
    """A plot in the page: its name, and the document that ``svg_of`` gives."""
    title = _PLOT_TITLES.get(name, name)
    return f'  <figure class="plot" tabindex="0" aria-label="{title}">{inline_svg(svg, title)}</figure>'


@functools.cache
def _template() -> Template:
    """The template of the page; as code it lies beside the compiled kernels, where that can be written."""
    from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined, compiler
    from jinja2.bccache import Bucket

    class Cache(FileSystemBytecodeCache):
        def load_bytecode(self, bucket: Bucket) -> None:
            try:
                super().load_bytecode(bucket)
            except Exception:  # pickle raises any where a file is damaged
                bucket.reset()

        def dump_bytecode(self, bucket: Bucket) -> None:
            with contextlib.suppress(OSError):
                Path(self.directory).mkdir(parents=True, exist_ok=True)
                super().dump_bytecode(bucket)

    # What is kept depends on the compiler and on the settings below as well, of which jinja2 knows nothing.
    made_by = hashlib.sha256(Path(compiler.__file__).read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        bytecode_cache=Cache(str(cache_folder()), f"page-{made_by}-%s.cache"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "sentence": _sentence,
        "seconds": seconds,
        "utc": utc,
        "count": lambda number: f"{number:,}",
    }
    environment.filters |= {"since": since, "share": share_text, "link": web_address, "bars": _bars}
    return environment.get_template("report.html")


def _printable(value: Any) -> Any:
    # Markup, which was made printable before, is what knows its own HTML.
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _sentence(text: str) -> Markup:
    """A sentence in which what stands between backticks is a code element."""
    from markupsafe import Markup, escape

    pieces = [Markup("<code>{}</code>").format(piece) if is_code else escape(piece) for is_code, piece in marked(text)]
    return Markup("").join(pieces)


def _bars(line: SocketLine) -> list[tuple[str, float, float]]:
    """Outcome, begin and width in percent of the attempts, for a bar."""
    bars, begin = [], 0.0
    for outcome in OUTCOMES:
        share = 100 * getattr(line, outcome) / line.attempts if line.attempts else 0.0
        if share:
            bars.append((outcome, round(begin, 3), round(share, 3)))
        begin += share
    return bars


def _content(analysis: Analysed, rows: Rows) -> dict[str, Any]:
    from markupsafe import Markup

    document = analysis.document
    groups = socket_groups(analysis)
    style, script = _part("report.css"), _part("report.js")
    return {
        "plots": Markup(_PLOTS),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "document": document,
        "captures": document["captures"],
        "verdict": verdict_of(analysis, groups),
        "totals": totals(groups),
        "groups": groups[:MOST_GROUPS],
        "groups_left_out": max(len(groups) - MOST_GROUPS, 0),
        "families": FAMILIES,
        "branches": told_once(tree(document["findings"])),
        "severities": severity_counts(document["findings"]),
        "untold": untold,
        "records": lambda finding: cited_records(finding, document["captures"], most=40),
        "sockets": list(_socket_rows(analysis, groups)),
        "sockets_in_all": len(analysis.sockets),
        "connections": rows._replace(markup=Markup(rows.markup)),
        "telling": telling_connections(analysis),
        "connections_in_all": len(analysis.connections),
        "cannot_show": cannot_show(analysis),
        "ledger": list(ledger_lines(document)),
    }


def _part(name: str) -> Markup:
    from markupsafe import Markup

    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _socket_rows(analysis: Analysed, groups: Sequence[SocketGroup]) -> Iterator[dict[str, Any]]:
    """The first ``MOST_SOCKETS`` rows of the table of sockets in the order of the groups, each with its line."""
    table = analysis.sockets
    keys = zip(*(table[name].tolist() for name in ("transport", "family", "address", "port")), strict=True)
    places = {key: place for place, key in enumerate(keys)}
    lines = [line for group in groups for line in group.lines][:MOST_SOCKETS]
    chosen = [places[line.key] for line in lines]
    for line, row in zip(lines, table.rows(chosen), strict=True):
        yield {**row, "line": line}
