"""UPDATE of sequences, which no policy limits.

The API has no request for it, but a function that runs statements of its caller does it.
"""

from collections.abc import Collection, Iterator

from psycopg import sql

from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.leaks.schemas import able_roles, of_schema
from supabase_jobs.audit.limits import some
from supabase_jobs.findings import Severity

KIND = Kind(
    code="sequence",
    order=670,
    severities=(Severity.INFO,),
    sentence="API roles may set sequences; no policy limits that.",
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each schema."""
    schemas: dict[str, dict[str, Collection[str]]] = {}
    for sequence in facts.sequences:
        if sequence.roles:
            schemas.setdefault(sequence.schema, {})[sequence.name] = sequence.roles
    for schema, sequences in schemas.items():
        able = able_roles(sequences)
        message = (
            f"{' and '.join(able)} may set sequences without a policy: {some(list(sequences))};"
            " the API has no request for it"
        )
        revoke = sql.SQL("revoke update on all sequences in schema {} from {};")
        yield of_schema(KIND, schema, message, revoke, able)
