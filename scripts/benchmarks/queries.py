"""The specification's fast queries under row level security, next to the same asked by the tables' owner."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figure, holds
from benchmarks.world import GUEST, HERE, SETTINGS, USER, World
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.settings import read_toml
from supabase_jobs.verify import impersonation
from supabase_jobs.verify.expectations import load_expectations
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import Impersonation
from supabase_jobs.verify.plans import queries, query_plan
from supabase_jobs.verify.plans.queries import Query
from supabase_jobs.verify.plans.query_plan import QueryPlan

SMALL = 50_000
RATIO, ALLOWANCE_MS, SHORT_MS = 1.3, 0.2, 1.0
GROWTH = 2.0

_EXPLAIN = "explain (analyze, verbose, buffers, timing off, format json) "
_IDS = {"guest": GUEST, "user": USER}
# for so long each pair is timed, but at least and at most so many times
SECONDS, LEAST, MOST = 4.0, 30, 2000


@dataclass(frozen=True)
class Asked:
    """A query as one identity, and the text that the owner asks instead."""

    query: Query
    identity: Identity
    spelled_out: str

    @property
    def name(self) -> str:
        """`latest job for a URL, as guest`."""
        return f"{self.query.name}, as {self.identity.name}"


def measure(world: World) -> list[Figure]:
    """Three figures for each query and identity: its plan, its time, and how its buffers grow with the table."""
    declared = queries.load()
    found = []
    # of the smaller table only the plans count
    for name, seconds in ((world.filled(min(SMALL, world.rows)), 0.0), (world.filled(), SECONDS)):
        with connect(world.url(name)) as ours, connect(world.url(name)) as owners:
            found.append({a.name: measured(a, declared, ours, owners, seconds) for a in asked_for(declared)})
    small, full = found
    return [figure for name, each in full.items() for figure in figures(name, each, small[name])]


def asked_for(declared: queries.FastQueries) -> Iterator[Asked]:
    """What queries.toml names, as all identities that plans.toml names for it."""
    by_name = {query.name: query for query in declared.queries}
    for name, spelled_out in read_toml(HERE / "queries.toml").items():
        query = by_name[name]
        for identity in query.identities:
            yield Asked(query, identity, spelled_out.get(identity.name, query.sql))


def asks_once(ran: QueryPlan, unguarded: QueryPlan) -> bool:
    """Whether a plan that ran asks who the caller is once: each such sub-select ran once, nothing runs for each row.

    But for what the query itself calls: that stands in its plan for the tables' owner too.
    """
    loops = [node["Actual Loops"] for node in query_plan.nodes(ran) if node.get("Parent Relationship") == "InitPlan"]
    return max(loops, default=0) <= 1 and not set(query_plan.per_row(ran)) - set(query_plan.per_row(unguarded))


def latency_limit(plain_ms: float) -> float:
    """What the query may take at most, by what it takes without row level security."""
    return max(RATIO * plain_ms, plain_ms + ALLOWANCE_MS if plain_ms < SHORT_MS else 0.0)


@dataclass(frozen=True)
class Measured:
    """What one of them came to, as asked and as the owner asks it; `once`: it asks who the caller is once."""

    index: str
    plan: QueryPlan
    once: bool
    owners_plan: QueryPlan
    ours_ms: float
    owners_ms: float


def measured(
    asked: Asked, declared: queries.FastQueries, ours: Connection, owners: Connection, seconds: float
) -> Measured:
    """Ask both for so many seconds, on two connections of the tables' owner, of which `ours` becomes the identity."""
    with ours.transaction(force_rollback=True), owners.transaction(force_rollback=True):
        for connection in (ours, owners):
            connection.execute("set local search_path = ''")
        ids = iter(_IDS[name] for name in declared.ids)
        session = impersonation.begin(
            ours,
            "plans",
            declared.ids,
            declared.placeholders,
            load_expectations(SETTINGS).variables,
            make=lambda: next(ids),
        )
        impersonation.set_identity(session, asked.identity)
        plan, owners_plan = _look(ours, asked.query.sql, session), _look(owners, asked.spelled_out, session)
        once = asks_once(plan, _look(owners, asked.query.sql, session))
        times = _interleaved((ours, asked.query.sql), (owners, asked.spelled_out), _params(session), seconds)
    return Measured(asked.query.index.rpartition(".")[2], plan, once, owners_plan, *times)


def _look(connection: Connection, text: str, session: Impersonation) -> QueryPlan:
    """The plan as it ran the second time, when everything is in memory."""
    for _ in range(2):
        row = impersonation.one(connection.execute((_EXPLAIN + text).encode(), _params(session)))
    plan: QueryPlan = row[0][0]["Plan"]
    return plan


def _interleaved(
    one: tuple[Connection, str], other: tuple[Connection, str], params: impersonation.Params, seconds: float
) -> tuple[float, float]:
    """Medians in milliseconds: planned, run and received, but not turned into Python's values. They take turns."""
    sides: list[tuple[tuple[Connection, str], list[float]]] = [(one, []), (other, [])]
    began = time.perf_counter()
    for number in range(MOST):
        if number >= LEAST and time.perf_counter() - began > seconds:
            break
        for (connection, text), spent in sides if number % 2 else reversed(sides):
            started = time.perf_counter()
            connection.execute(text.encode(), params)
            spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(sides[0][1]), statistics.median(sides[1][1])


def _buffers(plan: QueryPlan) -> int:
    pages: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return pages


def _params(session: Impersonation) -> impersonation.Params:
    return session.params({name: name for name in session.ids})


def figures(name: str, full: Measured, small: Measured) -> list[Figure]:
    """A query's three; `small` is the same on the smaller table."""
    scanned = [node["Node Type"] for node in query_plan.nodes(full.plan)]
    pages, theirs, before = _buffers(full.plan), _buffers(full.owners_plan), _buffers(small.plan)
    return [
        holds(
            f"{name}: its index, no sequential scan, the owner asked once",
            full.index in query_plan.indexes(full.plan) and "Seq Scan" not in scanned and full.once,
            query_plan.scans(full.plan) + ("" if full.once else ", the owner asked for each row"),
        ),
        Figure(
            f"{name}: median time",
            full.ours_ms,
            "ms",
            latency_limit(full.owners_ms),
            detail=f"{full.owners_ms:.2f} ms without RLS, {pages:,} and {theirs:,} buffers",
            also={
                "without_rls_ms": full.owners_ms,
                "ratio": full.ours_ms / full.owners_ms,
                "buffers": pages,
                "without_rls_buffers": theirs,
            },
        ),
        Figure(
            f"{name}: buffers, next to those at {SMALL:,} jobs",
            pages / max(before, 1),
            "×",
            GROWTH,
            detail=f"{before:,} before, {pages:,} now",
            also={"before": before, "now": pages},
        ),
    ]
