"""A trial: what the platform runs, and what its result says against it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.findings import Id
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify.access.problem import Problem

# what headers and metadata may be called besides the literals of a function
NAMES = ("sub", "id", "uid", "user_id", "email", "x-user-id")

SEARCH_PATH_OF_REQUESTS = {"search_path": "public, extensions"}
# what policies and helpers read about a caller, without the functions of schema auth
CALLER = "select current_user::text, " + ", ".join(
    f"coalesce(current_setting('{name}', true), '')" for name in REQUEST_SETTINGS
)

# kind, name, text, literals: a row of the query
Row = Sequence[Any]


@dataclass(frozen=True)
class Function:
    """A function or trigger of the project that the platform runs."""

    name: str
    text: str
    literals: Sequence[str]

    def every(self, value: str, *more: str) -> dict[str, str]:
        """The value under each name that the function may read."""
        return dict.fromkeys([*NAMES, *more, *self.literals], value)


@dataclass(eq=False)
class Trial:
    """Statements, and what their result says against them; `problem` once it is known."""

    id: Id
    object: str
    statements: Sequence[Statement]
    judge: Callable[[GroupResult], Problem | None]
    problem: Problem | None = field(default=None, init=False)

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """The statements in one group."""
        [result] = yield [self.statements]
        if isinstance(result.error, INCONCLUSIVE_ERRORS):
            raise result.error
        self.problem = self.judge(result)
