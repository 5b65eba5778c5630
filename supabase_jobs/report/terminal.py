"""Text in the columns and colours of a terminal."""

import io

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Page:
    """Collects text. Lines are neither wrapped nor cut."""

    def __init__(self, width: int, *, colour: bool) -> None:
        self._console = Console(
            file=io.StringIO(),
            width=width,
            force_terminal=colour,
            no_color=not colour,
            highlight=False,
        )

    def line(self, text: str = "", style: str = "", *, label: str = "") -> None:
        """A line in a style, or with only its `label` at the beginning in that style."""
        styled = Text(text, style=style if not label else "")
        if label:
            styled.stylize(style, 0, len(label))
        self._console.print(styled, soft_wrap=True)

    def paragraph(
        self,
        text: str,
        style: str = "",
        *,
        label: str = "",
        first: str = "",
        rest: str = "",
        width: int | None = None,
    ) -> None:
        """A text in lines of the width; `first` begins the first, and `rest` the others."""
        for number, line in enumerate(wrapped(f"{label}{text}", width, first=first, rest=rest)):
            if label and number:
                self.line(line)
            else:
                self.line(line, style, label=f"{first}{label}" if label else "")

    def table(self, table: Table) -> None:
        """A table in the width of the page, without spaces at the ends of lines."""
        with self._console.capture() as captured:
            self._console.print(table)
        for line in captured.get().splitlines():
            self.raw(f"{line.rstrip()}\n")

    def raw(self, text: str) -> None:
        """A text as it is, such as SQL that psql has to accept."""
        self._console.file.write(text)

    def text(self) -> str:
        """All that was collected."""
        file = self._console.file
        assert isinstance(file, io.StringIO)  # noqa: S101  created above
        return file.getvalue()


def wrapped(text: str, width: int | None, *, first: str = "", rest: str = "") -> list[str]:
    """A text in lines of at most `width` columns; words are not broken, so a longer word has a
    line of its own.

    `first` begins the first line, and `rest` the others. Without a width it is one line.
    """
    if width is None:
        return [f"{first}{text}"]
    lines, line, is_empty = [], first, True
    for word in text.split(" "):
        if not is_empty and cell_len(f"{line} {word}") > width:
            lines.append(line)
            line, is_empty = rest, True
        if lines and is_empty and not word:  # of several spaces
            continue
        line = f"{line}{word}" if is_empty else f"{line} {word}"
        is_empty = False
    return [*lines, line]
