"""The report folder: the reports, ``plots/`` and ``evidence.pcapng``, with a marker that it is ours.

A new folder appears whole or not at all: it is made beside its place under another name and then renamed. In a folder
that exists each file is replaced by a rename; whatever else lies there is left alone. Renaming a whole folder over
an existing one would lose the notes that people put beside a report, and is not possible where it is a mount point.
Nothing is written through a symbolic link inside the folder: a file that is one is replaced, a folder that is one is
refused. Modes are those of the user's umask.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from analyzer.errors import OutputError, UsageError
from analyzer.reports.connection_rows import connection_rows
from analyzer.reports.evidence.copy import write_evidence
from analyzer.reports.export import document_json
from analyzer.reports.html import figure_of, page_without_plots, with_plots
from analyzer.reports.markdown import markdown_of
from analyzer.reports.plots import PLOTS as DRAWN
from analyzer.reports.plots.aside import Artist, pictures_of
from analyzer.reports.programs.sarif import sarif_json
from analyzer.reports.summary import Analysed

MARKER = ".halfshake"
EVIDENCE = "evidence.pcapng"
PLOTS = "plots"
_MARKER_TEXT = "halfshake made this folder; its next report may replace the files of this one.\n"


def write_reports(
    analysis: Analysed, folder: Path, *, force: bool, full: bool, artist: Artist | None = None
) -> list[str]:
    """Write all reports into ``folder`` and make it where it is missing; ``full`` is that of ``report.md``.

    ``artist`` draws the plots beside, where there is one.

    Returns a sentence for each file that could not be made: evidence of what can be read only once. Raises UsageError
    where ``check_folder`` does, OutputError where the file system does not let us write.
    """
    check_folder(folder, force=force)
    missing: list[str] = []
    is_original = analysis.anonymizer is None
    with ThreadPoolExecutor(1) as beside:
        if artist is not None and is_original:
            artist.begin(analysis)
        # The captures are read again meanwhile: it is the disk that this waits for.
        analysis.document, analysis.packets  # noqa: B018, made once and not by two threads
        evidence = beside.submit(_evidence, analysis)
        if not is_original:
            evidence.exception()  # what of the evidence is missing stands in the other reports
            if artist is not None:
                artist.begin(analysis)
        files = dict(_files(analysis, full=full, artist=artist))
    try:
        files[EVIDENCE] = evidence.result()
    except UsageError as error:
        missing.append(f"{EVIDENCE} was not written: {error}")
    try:
        if folder.is_dir():
            _replace(folder, files)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _make(folder, files)
    except OSError as error:
        raise OutputError(f"{folder}: the report cannot be written: {error.strerror}") from error
    return missing


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise UsageError where no report may go: a file, or without ``force`` a folder with things that are not ours."""
    if folder.is_dir():
        if not force and not (folder / MARKER).is_file() and any(folder.iterdir()):
            raise UsageError(f"{folder}: the folder was not made by halfshake and is not empty; --force writes into it")
        if (folder / PLOTS).is_symlink():
            raise UsageError(f"{folder}: {PLOTS} is a symbolic link in it; remove it or name another folder")
    elif folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: not a folder; name one that halfshake can make")


def _files(analysis: Analysed, *, full: bool, artist: Artist | None) -> Iterator[tuple[str, bytes]]:
    yield MARKER, _MARKER_TEXT.encode()
    yield "report.json", document_json(analysis.document).encode()
    yield "report.sarif", sarif_json(analysis).encode()
    yield "report.md", markdown_of(analysis, full=full).encode()
    page = page_without_plots(analysis, connection_rows(analysis))
    figures = []
    for picture in pictures_of(analysis) if artist is None else artist.pictures(analysis):
        figures.append(figure_of(picture.name, picture.svg))
        yield f"{PLOTS}/{picture.name}.svg", picture.svg.encode()
        yield f"{PLOTS}/{picture.name}.png", picture.png
    yield "report.html", with_plots(page, figures).encode()


def _evidence(analysis: Analysed) -> bytes:
    """The evidence; of an anonymised analysis its document says afterwards what of the evidence is missing."""
    content = io.BytesIO()
    written = write_evidence(content, analysis, analysis.document["findings"])
    if anonymized := analysis.document.get("anonymized"):
        anonymized["evidence"] = {"records": written.records, "cut": written.cut, "dropped": dict(written.dropped)}
    return content.getvalue()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _make(folder: Path, files: dict[str, bytes]) -> None:
    partial = folder.parent / f".{folder.name[:200]}.partial-{os.getpid()}"
    # Whoever can write here could have put a link there: made by us, or nothing is written.
    partial.mkdir()
    try:
        _write(partial, files)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    partial = folder / f".partial-{os.getpid()}"
    partial.mkdir()
    try:
        _write(partial, files)
        for name in files:
            (folder / name).parent.mkdir(exist_ok=True)
            (partial / name).replace(folder / name)
        plots = {f"{PLOTS}/{plot}.{ending}" for plot in DRAWN for ending in ("svg", "png")}
        for name in {EVIDENCE, *plots} - files.keys():
            # That of an earlier report proves nothing of this one.
            (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
