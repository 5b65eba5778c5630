"""Public buckets whose policies restrict reading: the URL of a file bypasses the policies."""

from collections.abc import Iterator

from psycopg import sql

from supabase_jobs.audit.callers import OWNER
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.leaks.leak import ExplainedLeak, Kind
from supabase_jobs.audit.probes.attempt import OTHER, OWN, SELECT
from supabase_jobs.findings import Explanation, Severity

KIND = Kind(
    code="public-bucket",
    order=630,
    severities=(Severity.WARNING,),
    sentence=(
        "Policies show the files of a bucket to few, but anyone can read them by their public URL."
    ),
)


def find(facts: Facts) -> Iterator[ExplainedLeak]:
    """One leak for each public bucket from which policies show files to their owner only."""
    for bucket in facts.public_buckets:
        reads = [t for t in facts.tried if t.action == SELECT and t.on.bucket == bucket]
        by_owner = any(t.reached and t.whose == OWN and t.actor.kind == OWNER for t in reads)
        others = [t for t in reads if t.whose == OTHER and t.actor.is_outsider]
        if not by_owner or not others or any(t.reached for t in others):
            continue
        fix = sql.SQL("update storage.buckets set public = false where id = {};").format(
            sql.Literal(bucket)
        )
        yield ExplainedLeak(
            kind=KIND,
            severity=Severity.WARNING,
            object=others[0].object,
            table=others[0].table.label,
            message=(
                "Anyone who knows a path can read the file by its public URL, although policies"
                " show it to few"
            ),
            name=bucket,
            explanation=Explanation(cause="the bucket is public", fix=fix.as_string(None)),
        )
