"""Narration on stderr: on a terminal with a spinner and the elapsed time of the current step,
elsewhere with a line now and then.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import IO, Any, cast

import click

from supabase_jobs.cli.private import without_private

_ERASE = "\r\x1b[2K"
_DELAY_SECONDS = 0.5  # shorter steps show no spinner
_FRAME_SECONDS = 0.1
# without a terminal: until the first line about a step that still runs; each next one takes longer
_REMINDER_SECONDS = 10.0
_DEFAULT_COLUMNS = 80
_NARROWEST, _WIDEST = 60, 160  # of a report

_lock = threading.RLock()
_current: "_Spinner | _Reminder | None" = None


def report_width() -> int | None:
    """The columns of a report: those of COLUMNS or of the terminal, within limits. Longer lines are
    hard to read, and shorter ones leave no space for a matrix. None without either.
    """
    if sys.stdout.isatty() or _asked_columns() is not None:
        return _readable(sys.stdout)
    return None


def narrate(line: str, *, is_pasted: bool = False) -> None:
    """Print a line on stderr, on a terminal in lines of its width unless it is something to paste.

    The command continues if stderr cannot be written.
    """
    with suppress(OSError, ValueError):
        _print(line if is_pasted else _wrapped(line), err=True)


def output(line: str) -> None:
    """Print a line of data on stdout; the spinner of a step is redrawn below it."""
    _print(line, err=False)


@contextmanager
def progress(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show the current step while the block runs.

    On a terminal, a line with a spinner and the elapsed seconds appears after a delay and
    disappears at the end; elsewhere `text` is printed, unless it is `quiet`, and again with the
    seconds if the step is long. Code in the block must print with `narrate` and `output`, above the
    spinner.
    """
    global _current
    redraws = is_terminal()
    if not quiet and (_current is not None or not redraws):
        narrate(text)
    if _current is not None:
        yield
        return
    _current = _Spinner(text) if redraws else _Reminder(text)
    try:
        with _current:
            yield
    finally:
        _current = None


def advance(number: int, total: int) -> None:
    """Show in the line of the current step which part of it runs: 3/12."""
    if _current is not None:
        _current.part = f"{number}/{total}  "


@contextmanager
def counter(text: str, total: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """Show the progress of a count: `with counter("jobs", total) as advance: advance(1000)`.

    On a terminal, a progress bar with rate and remaining time, which disappears at the end;
    elsewhere nothing, and `total` is not called. Code in the block must print nothing.
    """
    if not is_terminal():
        yield lambda _number: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
    )
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeLeft(),
    )
    with Progress(
        *columns, console=Console(file=cast("IO[str]", _IgnoringErrors(sys.stderr))), transient=True
    ) as bar:
        task = bar.add_task(text, total=None)
        bar.update(task, total=total())
        yield lambda number: bar.advance(task, number)


class _IgnoringErrors:
    """A stream that ignores write errors: the command continues if the terminal is gone."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _print(line: str, *, err: bool) -> None:
    with _lock:
        if _current is not None:
            _current.erase()
        click.echo(without_private(line), err=err)


def is_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class _Spinner:
    """Draws in a thread of its own, because the thread of the step waits for the database."""

    def __init__(self, text: str) -> None:
        self.part = ""
        self._text = "".join(c if c.isprintable() else "?" for c in text)
        self._started = time.monotonic()
        self._frames = cycle("|/-\\")
        self._drawn = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()
        self.erase()

    def erase(self) -> None:
        """Erase the line; the next frame draws it again."""
        with _lock:
            if self._drawn:
                sys.stderr.write(_ERASE)
                sys.stderr.flush()
                self._drawn = False

    def _draw(self) -> None:
        if self._done.wait(_DELAY_SECONDS):
            return
        from rich.cells import set_cell_size

        while True:
            seconds = time.monotonic() - self._started
            line = set_cell_size(
                f"{next(self._frames)} {seconds:.0f} s  {self.part}{self._text}",
                _columns(sys.stderr) - 1,
            ).rstrip()
            try:
                with _lock:
                    sys.stderr.write(f"{_ERASE}{line}")
                    sys.stderr.flush()
                    self._drawn = True
            except (OSError, ValueError):  # the terminal is gone
                return
            if self._done.wait(_FRAME_SECONDS):
                return


class _Reminder:
    """Says that a step still runs, where no line can be redrawn."""

    def __init__(self, text: str) -> None:
        self.part = ""
        self._text = without_private(text)  # the thread has no context of the command
        self._started = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._remind, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()

    def erase(self) -> None:
        """Nothing is drawn that another line could break."""

    def _remind(self) -> None:
        pause = _REMINDER_SECONDS
        while not self._done.wait(pause):
            seconds = time.monotonic() - self._started
            with suppress(OSError, ValueError), _lock:
                click.echo(f"{self.part}{self._text}: {seconds:.0f} s so far", err=True)
            pause *= 2


def _wrapped(text: str) -> str:
    """A text in lines of the terminal that is stderr; words are not broken."""
    if not sys.stderr.isatty():
        return text
    import textwrap

    wrapper = textwrap.TextWrapper(
        width=_readable(sys.stderr),
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    # before a line ends within a private text
    return "\n".join(map(wrapper.fill, without_private(text).splitlines()))


def _readable(stream: IO[str]) -> int:
    """The columns of COLUMNS or of a terminal, within limits."""
    return min(max(_columns(stream), _NARROWEST), _WIDEST)


def _columns(stream: IO[str]) -> int:
    asked = _asked_columns()
    if asked is not None:
        return asked
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_COLUMNS  # 0: unknown
    except OSError:
        return _DEFAULT_COLUMNS


def _asked_columns() -> int | None:
    """The variable COLUMNS, which users set for output that is no terminal, too."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else None
