"""The result of `mutate --run` as one self-contained HTML page: no script, no font, no image, no
network.
"""

from supabase_jobs.findings import SuiteMutation
from supabase_jobs.report.html import environment
from supabase_jobs.report.suite import scores


def mutation(result: SuiteMutation) -> str:
    """The page: verdict, scores, and each survivor with its SQL and the missing tests."""
    return (
        environment()
        .get_template("suite.html.jinja")
        .render(
            result=result,
            total=scores.total(result),
            counts=scores.counts(result),
            tables=[
                ("Table, view or function", scores.by_object(result)),
                ("Kind of fault", scores.by_kind(result)),
            ],
        )
    )
