"""The functions that say who a request is."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.request import request_settings
from supabase_jobs.findings import Id
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.platform.auth import Auth, become
from supabase_jobs.verify.access.platform.trial import Function, Trial
from supabase_jobs.verify.access.problem import Problem
from supabase_jobs.verify.access.reach.candidate import Candidate
from supabase_jobs.verify.access.reach.rows import writes_of
from supabase_jobs.verify.access.reach.values import qualified
from supabase_jobs.verify.access.reach.world import attempt


def identities(
    functions: Sequence[Function], sources: Sequence[Candidate], auth: Auth
) -> Iterator[Trial]:
    """The identity of a user that has written another one beside its own into a table."""
    for function in functions:
        for source in sources:
            if source.is_read_by(function.text):
                yield _identity(function, source, auth)


def _identity(function: Function, source: Candidate, auth: Auth) -> Trial:
    other, others = auth.signed_up()
    user, created = auth.signed_up()
    _, chosen = writes_of(source, other, str(user))
    settings = request_settings({"role": "authenticated", "sub": str(user)}, {})
    name = qualified(function.name)
    call = Statement(sql.SQL("select {}()::text").format(name).as_string(None))
    before = [*others, *created, become("authenticated", settings), call]
    written = [statement for change in chosen for statement in attempt(change)]

    def judge(result: GroupResult) -> Problem | None:
        if result.error is not None:
            return None
        if result.answers[len(before) - 1].rows == result.answer().rows:
            return None
        return Problem(
            f"{function.name}() returns another user once a user has written it into"
            f" {source.object}: whoever writes a row there becomes whom it names",
            f"Let only Auth and the service write to {source.object}.",
        )

    return Trial(
        Id(AREA, function.name, source.object), function.name, [*before, *written, call], judge
    )
