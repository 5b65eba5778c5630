"""How a project's steps are told to the user; by default they are not."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass


def _silent(_text: str) -> None:
    """Tell nothing."""


def _no_parts(_number: int, _total: int) -> None:
    """Show no parts."""


@dataclass(frozen=True)
class Narration:
    """`note` tells a line, `step` runs while a block does, `advance` shows a part of the step."""

    note: Callable[[str], None] = _silent
    step: Callable[[str], AbstractContextManager[None]] = lambda _text: nullcontext()
    advance: Callable[[int, int], None] = _no_parts


SILENT = Narration()
