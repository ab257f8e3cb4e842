"""Run the command as a user does, in a process of its own or, where hundreds of runs are wanted, in this one."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

COMMAND = [sys.executable, "-c", "import sys; sys.argv[0] = 'halfshake'; from analyzer.cli.main import run; run()"]


@dataclass(frozen=True)
class Run:
    """What one run of the command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The report document of ``analyze --json``."""
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        return document

    @property
    def complaint(self) -> str:
        """The one line on stderr; fails where there is none, or more, or a traceback."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        assert "Traceback" not in lines[0]
        return lines[0]


def run(*arguments: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> Run:
    """``halfshake ARGUMENTS`` in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, timeout=120, check=False)
    return Run(done.returncode, done.stdout.decode(), done.stderr.decode())


def call(*arguments: str | Path) -> Run:
    """``halfshake ARGUMENTS`` in this process."""
    from analyzer.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    status: int | str | None = 0
    argv = mock.patch.object(sys, "argv", ["halfshake", *map(str, arguments)])
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            # Called without arguments, as a program is, it would end this process.
            status = main(prog_name="halfshake")
        except SystemExit as end:
            status = end.code
        finally:
            # The command ends soon and does not collect garbage; this process goes on.
            gc.enable()
    written = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Run(status if isinstance(status, int) else int(bool(status)), *written)
