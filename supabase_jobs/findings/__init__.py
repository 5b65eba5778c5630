"""The values that checks produce and reports print."""

from supabase_jobs.findings.access import (
    MEMBER_ROWS,
    OWN_ROWS,
    Access,
    AccessCaller,
    AccessObject,
    Cell,
)
from supabase_jobs.findings.audit import (
    BASELINE,
    AccessSummary,
    Audit,
    AuditCell,
    AuditedRelation,
    AuditFinding,
    Explanation,
    Left,
    NotTested,
    Repair,
    Repairs,
)
from supabase_jobs.findings.changes import (
    AccessChange,
    AccessDiff,
    DefaultGrants,
    Drift,
    DriftFinding,
    NotCompared,
)
from supabase_jobs.findings.finding import (
    APPLY_FIRST,
    Finding,
    Fix,
    Location,
    Severity,
    as_comment,
    as_sql,
    has_statement,
)
from supabase_jobs.findings.id import Id
from supabase_jobs.findings.mutants import Fault, Mutant, MutationResult, SuiteMutant, SuiteMutation
from supabase_jobs.findings.permission import Permission, Permissions
from supabase_jobs.findings.row_state import Clause, Holds, RowState
from supabase_jobs.findings.verification import Case, Grid, Verification

__all__ = [
    "APPLY_FIRST",
    "BASELINE",
    "MEMBER_ROWS",
    "OWN_ROWS",
    "Access",
    "AccessCaller",
    "AccessChange",
    "AccessDiff",
    "AccessObject",
    "AccessSummary",
    "Audit",
    "AuditCell",
    "AuditFinding",
    "AuditedRelation",
    "Case",
    "Cell",
    "Clause",
    "DefaultGrants",
    "Drift",
    "DriftFinding",
    "Explanation",
    "Fault",
    "Finding",
    "Fix",
    "Grid",
    "Holds",
    "Id",
    "Left",
    "Location",
    "Mutant",
    "MutationResult",
    "NotCompared",
    "NotTested",
    "Permission",
    "Permissions",
    "Repair",
    "Repairs",
    "RowState",
    "Severity",
    "SuiteMutant",
    "SuiteMutation",
    "Verification",
    "as_comment",
    "as_sql",
    "has_statement",
]
