"""A finding of verify: its severity, its fix as SQL, and where it belongs."""

from dataclasses import dataclass
from enum import StrEnum

from supabase_jobs.findings.id import Id

# the fix for a database without the migrations
APPLY_FIRST = "Apply the migrations first: supabase-jobs apply."


class Severity(StrEnum):
    """The severity of a finding. An error makes `verify` exit 1, and so does a warning that
    something is unchecked. A question of `audit` is a decision of the project.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    QUESTION = "question"

    @property
    def is_problem(self) -> bool:
        """Whether something is, or may be, wrong."""
        return self in (Severity.ERROR, Severity.WARNING)


class Fix(str):
    """A fix that waits for nobody, as one that builds an index concurrently. `tried` is the same
    for a transaction, in which it cannot run.
    """

    tried: str

    def __new__(cls, text: str, tried: str = "") -> "Fix":
        """The text that reports print; without `tried`, a transaction runs it too."""
        made = super().__new__(cls, text)
        made.tried = tried or text
        return made


@dataclass(frozen=True)
class Finding:
    """A deviation and its fix. The field names are those of `verify --json`.

    `fix` is SQL that psql accepts: statements, or a comment where no statement can repair the
    deviation. `cause` is the id of the finding that explains this one and whose fix repairs both,
    '' if there is none. `accept` are entries for supabase-jobs.toml, as TOML, that accept an
    intended deviation; none if nothing can.
    """

    id: Id
    area: str
    severity: Severity
    object: str
    message: str
    fix: str
    cause: str = ""
    accept: tuple[str, ...] = ()


def as_sql(fix: str) -> str:
    """A fix as SQL: statements as they are, a sentence as a comment."""
    statements = [line for line in fix.splitlines() if not line.startswith("--")]
    is_sql = not statements or statements[-1].rstrip().endswith(";")
    return fix if is_sql else as_comment(fix)


def as_comment(text: str) -> str:
    """A text as an SQL comment, whatever it contains."""
    return "\n".join(f"-- {line}" for line in text.splitlines())


def has_statement(text: str) -> bool:
    """Whether the SQL of a fix has anything to run besides comments."""
    return any(line.strip() and not line.startswith("--") for line in text.splitlines())


@dataclass(frozen=True)
class Location:
    """A line of a file, counted from 1. The path is relative to the top of the repository, with
    slashes.
    """

    file: str
    line: int
