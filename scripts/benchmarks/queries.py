"""The fast queries of the specification with row level security, compared with the owner of the
tables.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.databases import GUEST, HERE, SETTINGS, USER, Databases
from benchmarks.figures import Figure, holds
from supabase_jobs.database import query_plan
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.session import impersonation
from supabase_jobs.session.caller import Caller
from supabase_jobs.settings import read_toml
from supabase_jobs.verify.expectations import load_expectations
from supabase_jobs.verify.plans import queries
from supabase_jobs.verify.plans.queries import Query

SMALL = 50_000
RATIO, ALLOWANCE_MS, SHORT_MS = 1.3, 0.2, 1.0
GROWTH = 2.0

_EXPLAIN = "explain (analyze, verbose, buffers, timing off, format json) "
_IDS = {"guest": GUEST, "user": USER}
# how long each pair is timed, with a minimum and a maximum number of runs
SECONDS, MIN_RUNS, MAX_RUNS = 4.0, 30, 2000


@dataclass(frozen=True)
class QueryCase:
    """A query as one identity, and the equivalent query of the owner."""

    query: Query
    identity: Caller
    owner_sql: str

    @property
    def name(self) -> str:
        """`latest job for a URL, as guest`."""
        return f"{self.query.name}, as {self.identity.label}"


def measure(databases: Databases) -> list[Figure]:
    """Three figures for each query and identity: its plan, its time, and how its buffers grow with
    the table.
    """
    declared = queries.load()
    by_size = []
    # on the smaller table only the plans are compared
    for name, seconds in (
        (databases.filled(min(SMALL, databases.rows)), 0.0),
        (databases.filled(), SECONDS),
    ):
        with connect(databases.url(name)) as caller, connect(databases.url(name)) as owner:
            by_size.append(
                {
                    case.name: run_case(case, declared, caller, owner, seconds)
                    for case in cases(declared)
                }
            )
    small, full = by_size
    return [
        figure for name, result in full.items() for figure in figures(name, result, small[name])
    ]


def cases(declared: queries.FastQueries) -> Iterator[QueryCase]:
    """The queries of queries.toml, as each of their identities in plans.toml."""
    by_name = {query.name: query for query in declared.queries}
    for name, owner_sql in read_toml(HERE / "queries.toml").items():
        query = by_name[name]
        for identity in query.identities:
            yield QueryCase(query, identity, owner_sql.get(identity.label, query.sql))


def evaluates_owner_once(plan: QueryPlan, owner_plan: QueryPlan) -> bool:
    """Whether the policies evaluate the owner once per query: each InitPlan ran once, no function
    per row.

    Functions that the query itself calls are ignored: they are in the plan of the owner of the
    tables too.
    """
    loops = [
        node["Actual Loops"]
        for node in query_plan.nodes(plan)
        if node.get("Parent Relationship") == "InitPlan"
    ]
    return max(loops, default=0) <= 1 and not set(query_plan.per_row(plan)) - set(
        query_plan.per_row(owner_plan)
    )


def latency_limit(without_rls_ms: float) -> float:
    """The maximum time of a query with row level security."""
    return max(
        RATIO * without_rls_ms, without_rls_ms + ALLOWANCE_MS if without_rls_ms < SHORT_MS else 0.0
    )


@dataclass(frozen=True)
class CaseResult:
    """Plans and median times of a case and of the owner; `once`: the policies evaluate the owner
    once.
    """

    index: str
    plan: QueryPlan
    once: bool
    owner_plan: QueryPlan
    ms: float
    owner_ms: float


def run_case(
    case: QueryCase,
    declared: queries.FastQueries,
    caller: Connection,
    owner: Connection,
    seconds: float,
) -> CaseResult:
    """Run a query as the identity and as the owner, in turns; both connections belong to the owner
    of the tables.
    """
    with caller.transaction(force_rollback=True), owner.transaction(force_rollback=True):
        owner.execute("set local search_path = ''")
        params = impersonate(caller, declared, case.identity)
        plan, owner_plan = (
            explain(caller, case.query.sql, params),
            explain(owner, case.owner_sql, params),
        )
        once = evaluates_owner_once(plan, explain(owner, case.query.sql, params))
        ms, owner_ms = interleaved(
            [(caller, case.query.sql), (owner, case.owner_sql)], params, seconds
        )
    return CaseResult(case.query.index.rpartition(".")[2], plan, once, owner_plan, ms, owner_ms)


def impersonate(
    connection: Connection, declared: queries.FastQueries, identity: Caller
) -> impersonation.Params:
    """Run the rest of the transaction as this identity; returns the parameters of the queries."""
    connection.execute("set local search_path = ''")
    variables = load_expectations(SETTINGS).variables
    session = impersonation.begin(
        connection, "plans", declared.ids, declared.placeholders, variables, make=_IDS.__getitem__
    )
    impersonation.become(session, identity.filled(session.texts))
    return session.params({name: name for name in session.ids})


def explain(connection: Connection, text: str, params: impersonation.Params) -> QueryPlan:
    """The plan of the second run, with all pages in memory."""
    for _ in range(2):
        row = impersonation.one(connection.execute((_EXPLAIN + text).encode(), params))
    plan: QueryPlan = row[0][0]["Plan"]
    return plan


def interleaved(
    sides: Sequence[tuple[Connection, str]], params: impersonation.Params, seconds: float
) -> tuple[float, ...]:
    """Median milliseconds of alternating runs: planning, execution and transfer, without conversion
    to Python.
    """
    times: list[list[float]] = [[] for _ in sides]
    numbered = list(enumerate(sides))
    first = time.perf_counter()
    for number in range(MAX_RUNS):
        if number >= MIN_RUNS and time.perf_counter() - first > seconds:
            break
        for side, (connection, text) in numbered if number % 2 else reversed(numbered):
            started = time.perf_counter()
            connection.execute(text.encode(), params)
            times[side].append((time.perf_counter() - started) * 1000)
    return tuple(map(statistics.median, times))


def buffers(plan: QueryPlan) -> int:
    """The pages that a query has read, in memory or not."""
    pages: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return pages


def figures(name: str, full: CaseResult, small: CaseResult) -> list[Figure]:
    """The three figures of a case; `small` is its result on the smaller table."""
    scanned = [node["Node Type"] for node in query_plan.nodes(full.plan)]
    pages, without_rls, before = buffers(full.plan), buffers(full.owner_plan), buffers(small.plan)
    return [
        holds(
            f"{name}: uses its index, no sequential scan, evaluates the owner once",
            full.index in query_plan.indexes(full.plan) and "Seq Scan" not in scanned and full.once,
            query_plan.scans(full.plan)
            + ("" if full.once else ", evaluates the owner for each row"),
        ),
        Figure(
            f"{name}: median time",
            full.ms,
            "ms",
            latency_limit(full.owner_ms),
            detail=f"{full.owner_ms:.2f} ms without RLS, {pages:,} and {without_rls:,} buffers",
            also={
                "without_rls_ms": full.owner_ms,
                "ratio": full.ms / full.owner_ms,
                "buffers": pages,
                "without_rls_buffers": without_rls,
            },
        ),
        Figure(
            f"{name}: buffers relative to {SMALL:,} jobs",
            pages / max(before, 1),
            "×",
            GROWTH,
            detail=f"{before:,} and {pages:,} buffers",
            also={"before": before, "now": pages},
        ),
    ]
