"""``halfshake watch``: rotated captures as they are written, findings once, metrics for Prometheus."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.cli.ending import Command

if TYPE_CHECKING:
    from analyzer.watch.serve import Page
    from analyzer.watch.watcher import Watcher

_POLL_SECONDS = 1.0


@click.command(cls=Command, short_help="Watch a folder of rotated captures; for Prometheus.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--state", metavar="DIR", type=click.Path(path_type=Path), help="DIR/.halfshake if not given.")
@click.option("--metrics", metavar="FILE", type=click.Path(path_type=Path), help="Write OpenMetrics text to this file.")
@click.option("--listen", "where", metavar="127.0.0.1:PORT", help="Serve OpenMetrics text at /metrics.")
@click.option("--window", metavar="SECONDS", type=click.FloatRange(1), default=300.0, help="300 if not given.")
@click.option("--settle", metavar="SECONDS", type=click.FloatRange(0), default=10.0, help="10 if not given.")
@click.option("--name", "pattern", metavar="PATTERN", default="*cap*", help="Names of captures; *cap* if not given.")
@click.option(
    "--severity", type=click.Choice(["error", "warning", "info"]), default="warning", help="Say these and worse."
)
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON, one a line.")
@click.option("--once", is_flag=True, help="Take what is complete, and end.")
def watch(
    folder: Path,
    state: Path | None,
    metrics: Path | None,
    where: str | None,
    window: float,
    settle: float,
    pattern: str,
    severity: str,
    as_json: bool,
    once: bool,
) -> None:
    """Take each rotated capture of DIR when it is complete, and print findings that are new.

    \b
    tcpdump -i eth0 -G 60 -w '/var/captures/web-%Y%m%d-%H%M%S.pcap' &
    halfshake watch /var/captures --metrics /var/lib/node_exporter/halfshake.prom
    halfshake watch /var/captures --listen 127.0.0.1:9469

    A file is complete when the next one of its series is there, or when nothing was written to it for --settle seconds.
    What the files of the last --window seconds show together is judged; connections go on from file to file. The state
    survives the end of the command, however it comes: nothing is counted twice, and no finding is lost.
    """
    from analyzer.reports.text import visible
    from analyzer.watch.serve import Page, listen
    from analyzer.watch.state import Store
    from analyzer.watch.watcher import Settings, Watcher

    gc.disable()
    settings = Settings(folder, pattern, round(window * 1e9), round(settle * 1e9), severity)
    watcher = Watcher(
        settings,
        Store(state or folder / ".halfshake"),
        lambda sentence: click.echo(f"halfshake: {visible(sentence)}", err=True),
    )
    page = Page()
    if where is not None:
        listen(where, page)
    _go_on(watcher, _Out(watcher, page, metrics, as_json=as_json), once=once)


def _go_on(watcher: Watcher, out: _Out, *, once: bool) -> None:
    """Take file after file until the command is ended, or with ``once`` until none is complete."""
    out.give()
    while True:
        if watcher.step(time.time_ns()):
            watcher.save()
            out.give()
            gc.collect()
        elif once:
            return
        else:
            if not watcher.written and watcher.save():
                out.give()
            time.sleep(_POLL_SECONDS)


class _Out:
    """Where findings and metrics go."""

    def __init__(self, watcher: Watcher, page: Page, metrics: Path | None, *, as_json: bool) -> None:
        self._watcher, self._page, self._metrics, self._as_json = watcher, page, metrics, as_json
        self._written = True

    def give(self) -> None:
        """Print findings that were not said, and renew the metrics."""
        self._watcher.say(self._print)
        self._page.text = self._watcher.metrics()
        if self._metrics is not None:
            self._write(self._metrics)

    def _write(self, path: Path) -> None:
        from analyzer.packed import written_whole

        try:
            with written_whole(path) as file:
                file.write(self._page.text.encode())
            self._written = True
        except OSError as error:
            if self._written:
                click.echo(f"halfshake: {click.format_filename(path)}: cannot be written: {error.strerror}", err=True)
            self._written = False

    def _print(self, finding: dict[str, Any]) -> None:
        from analyzer.reports.text import json_text, utc, visible

        shown = finding | {"first_time": utc(finding["first_time"]) if finding["first_time"] >= 0 else None}
        del shown["seen"]
        if self._as_json:
            click.echo(json.dumps(json.loads(json_text(shown)), ensure_ascii=True))
        else:
            when = shown["first_time"] or "-"
            about = f"{when} {finding['severity']} {finding['pattern']}"
            click.echo(visible(f"{about}: {finding['title']}. {finding['because']} [{finding['series']}]"))
