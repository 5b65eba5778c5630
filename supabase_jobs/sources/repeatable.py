"""The repeatable sections of a SQL source, which a changed variable applies again in a new version.

A section stands between a line `--! repeatable` and a line `--! end`; the last one may extend to
the end of the file.
"""

from typing import NamedTuple

from supabase_jobs.errors import ConfigError

BEGIN, END = "--! repeatable", "--! end"
_HEADER_DIRECTIVE = "--! transaction"


class Sections(NamedTuple):
    """The text of a file that is applied only once, and its repeatable sections (or "")."""

    fixed: str
    repeatable: str


def sections(text: str, file: str = "") -> Sections:
    """Separate the repeatable sections of a source or a rendered file; the directives belong to
    neither part.

    Raises ConfigError, with file and line, for an unknown or unpaired directive, and for repeatable
    sections in a nontransactional file.
    """
    fixed: list[str] = []
    repeatable: list[str] = []
    inside = False
    nontransactional = False
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        directive = line.strip()
        if not directive.startswith("--!"):
            (repeatable if inside else fixed).append(line)
        elif directive == BEGIN and not inside:
            inside = True
        elif directive == END and inside:
            inside = False
        elif directive.startswith(_HEADER_DIRECTIVE):
            fixed.append(line)
            nontransactional = nontransactional or directive.endswith("false")
        else:
            raise ConfigError(
                f"{file}: {directive!r} is unknown or unpaired",
                hint=f"A repeatable section stands between {BEGIN!r} and {END!r}.",
                file=file,
                line=number,
            )
    result = Sections("".join(fixed), "".join(repeatable))
    if nontransactional and result.repeatable:
        raise ConfigError(
            f"{file}: a file that runs outside a transaction cannot have repeatable sections",
            file=file,
        )
    return result
