"""How the command ends, and what it leaves behind: files whole or not at all, one line where something went wrong.

Ctrl-C is status 130 and SIGTERM and SIGHUP 128 and their number, as a shell reports them; by then whatever was half
written is removed. A reader that closed the pipe (``halfshake ... | head``) ends the command in silence with 141, as
SIGPIPE ends others. What cannot be written is one line and status 2.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import click

from analyzer.errors import OutputError, UsageError

EXIT_INTERRUPTED, EXIT_PIPE_CLOSED, EXIT_NOT_WRITTEN = 130, 141, 2
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Command(click.Command):
    """A command in which a ``UsageError`` of ours ends as click's own do: its usage, one line, status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from error


@contextlib.contextmanager
def polite() -> Iterator[None]:
    """Run a command so that it ends as the head of this module says."""
    try:
        with _ending_on_signals():
            try:
                yield
            finally:
                # What is flushed only at exit fails there with a traceback.
                sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted", EXIT_INTERRUPTED)
    except click.UsageError as error:
        message = error.format_message()
        # click's own messages may list choices in lines; what a caller's script put into arguments is escaped
        shown = "\n".join(_one_line(line) for line in message.expandtabs(2).split("\n"))
        if shown == message:
            raise
        raise click.UsageError(shown, error.ctx) from error
    except OutputError as error:
        _say(str(error), EXIT_NOT_WRITTEN)
    except BrokenPipeError:
        _throw_away_stdout()
        raise SystemExit(EXIT_PIPE_CLOSED) from None
    except OSError as error:
        # What reads and writes files says which with errors of its own; what is left names a file, or is standard
        # output.
        if error.filename is None:
            _throw_away_stdout()
        where = "standard output: cannot be written" if error.filename is None else os.fsdecode(error.filename)
        _say(f"{where}: {error.strerror}", EXIT_NOT_WRITTEN)


def leave(end: SystemExit) -> None:
    """End the process with the status of ``end``; what it still holds, the system takes back faster than Python does.

    Nothing is lost by it: files are closed where they were opened, and both streams are flushed here. Raises ``end``
    where a stream cannot be flushed, which Python then says.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        raise end from None
    os._exit(end.code if isinstance(end.code, int) else 1 if end.code else 0)


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise SystemExit, so that what was begun is undone; not where they are ignored."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = {each: signal.signal(each, end) for each in _SIGNALS if signal.getsignal(each) is signal.SIG_DFL}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _say(sentence: str, status: int) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"halfshake: {_one_line(sentence)}", err=True)
    raise SystemExit(status) from None


def _one_line(text: str) -> str:
    from analyzer.reports.text import visible

    return visible(text)


def _throw_away_stdout() -> None:
    """Let what is still buffered go nowhere, in place of a second error at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A binary file that stands at ``path`` when the block ends, and does not when it raises.

    Through a symbolic link, what the link names is replaced. A pipe or a device is written to as it is. Raises
    OutputError where the file system does not let us write.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
            return
        from analyzer.packed import written_whole

        with written_whole(path.resolve()) as file:
            yield file
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written: {reason}") from error
