"""Public buckets whose policies restrict reading: the URL of an object bypasses the policies."""

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql

from supabase_jobs.audit.callers import OWNER
from supabase_jobs.audit.probes.attempt import OTHER, OWN, SELECT, Attempt
from supabase_jobs.findings import AuditFinding, Severity


def find(attempts: Sequence[Attempt], buckets: Mapping[str, bool]) -> Iterator[AuditFinding]:
    """A finding for each public bucket from which policies show objects to their owner only."""
    for bucket in (name for name, public in buckets.items() if public):
        reads = [
            a
            for a in attempts
            if a.action == SELECT
            and a.relation.is_storage
            and a.row.values.get("bucket_id") == bucket
        ]
        own = any(a.reached for a in reads if a.whose == OWN and a.caller.kind == OWNER)
        others = [a for a in reads if a.whose == OTHER and a.caller.is_outsider]
        if own and others and not any(a.reached for a in others):
            label = others[0].label
            message = "Anyone who knows a path can read the file by its public URL, although policies show it to few"
            fix = sql.SQL("update storage.buckets set public = false where id = {};").format(
                sql.Literal(bucket)
            )
            yield AuditFinding(
                f"public-bucket:{bucket}",
                Severity.WARNING,
                label,
                message,
                fix.as_string(None),
                "the bucket is public",
            )
