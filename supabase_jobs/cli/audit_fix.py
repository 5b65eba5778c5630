"""`audit --fix`: the proven repairs of findings as one migration."""

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from supabase_jobs.cli.common import write_file
from supabase_jobs.cli.private import without_private
from supabase_jobs.findings import Left

if TYPE_CHECKING:
    from supabase_jobs.audit.options import Options
    from supabase_jobs.database.connection import Connection
    from supabase_jobs.findings import Audit, AuditFinding

# a repair may show what a wider leak has hidden
_ROUNDS = 4
_HEAD = """\
-- Repairs by supabase-jobs audit. Each was tried on a copy: it closes its findings, and takes
-- nothing from owners, members, guests and the backend. Review it, then: supabase db push

"""


def audit_and_fix(
    connection: "Connection",
    options: "Options",
    file: Path,
    only: Collection[str],
    compared: Callable[["Audit"], "Audit"],
) -> tuple["Audit", str]:
    """Audit, write the proven repairs into a file, and audit their result; return the first audit,
    and a line that says what the repairs do.

    Without a proven repair, no file is written. `compared` adds the deviations from a baseline.
    """
    import psycopg

    from supabase_jobs.audit.audit import audit

    options = replace(options, repaired=only)
    first = result = audit(connection, options)
    options = replace(options, performance=False)
    texts, closed, given = [], 0, 0
    with suppress(psycopg.Rollback), connection.transaction():
        for _ in range(_ROUNDS):
            repairs = result.repairs
            if repairs is None or not repairs.repairs:
                break
            connection.execute(repairs.sql.encode())
            texts.append(repairs.sql)
            closed += repairs.closes
            given += repairs.gives
            result = audit(connection, options)
        raise psycopg.Rollback
    # a repair that was proven and not chosen is no decision
    problems = [f for f in compared(result).findings if f.severity.is_problem and not f.proven]
    left = _left(problems)
    if not texts:
        why = "none is proven" if problems else "there is nothing to repair"
        return first, f"wrote no repair, since {why}{_kept(file)}; {left}"
    write_file(file, without_private(_HEAD + "\n".join(texts)))
    cells = "1 cell" if closed == 1 else f"{closed} cells"
    restored = f", gave {given} that policies permit" if given else ""
    return first, f"wrote {file}: closed {cells}, lost 0{restored}; {left}"


def _left(problems: Collection["AuditFinding"]) -> str:
    """How many findings have no proven repair, and why; their fixes say which."""
    if not problems:
        return "0 findings need a decision"
    some = "1 finding needs" if len(problems) == 1 else f"{len(problems)} findings need"
    counts = Counter(str(f.left or Left.NONE) for f in problems)
    reasons = ", ".join(f"for {count} {why}" for why, count in counts.most_common())
    return f"{some} a decision: {reasons}"


def _kept(file: Path) -> str:
    """A remark on the file of an earlier run, which stays."""
    return f", and left {file} as it is" if file.exists() else ""
