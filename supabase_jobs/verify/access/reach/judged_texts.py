"""Take back what lints say of a text, where its uses have shown that it does no harm."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from psycopg import sql

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Severity
from supabase_jobs.session.impersonation import caller_statement
from supabase_jobs.verify.access.matrix import Given
from supabase_jobs.verify.access.reach import texts
from supabase_jobs.verify.access.reach.calls import called
from supabase_jobs.verify.access.reach.candidate import Candidate, Kind, Row
from supabase_jobs.verify.access.reach.rows import suggested
from supabase_jobs.verify.access.reach.use import Answered, Use
from supabase_jobs.verify.access.reach.values import qualified
from supabase_jobs.verify.access.reach.world import World
from supabase_jobs.verify.context import Context

_CALLABLE = sql_file(Path(__file__).with_name("callable.sql"))
_OF_TRIGGER = "trigger that bypasses row level security"
_OF_FUNCTION = "function that bypasses row level security"
_OF_VIEW = "view that bypasses row level security"
_OF_DYNAMIC = "lint", "security_definer_dynamic_sql"
_USERS = "auth.users"

# how the ids of findings end
Ends = Iterable[tuple[str, ...]]


def judge(world: World, candidate: Candidate, uses: Sequence[Use]) -> None:
    """Judge the text of a candidate whose uses have reached nobody."""
    of_triggers = [(_OF_TRIGGER, function) for function in candidate.fires]
    if candidate.kind is Kind.TABLE and _has_run_all(candidate, uses):
        _take_back(world.context, of_triggers, Severity.WARNING)
    # by the id that only its guest knows, the guest's jobs become those of the new user
    if candidate.kind is Kind.SIGN_UP and uses[-1].returned(world.joined):
        _take_back(world.context, of_triggers, Severity.INFO)
    if candidate.kind is Kind.FUNCTION:
        _take_back(world.context, _proven(world, candidate, uses), Severity.INFO)
        if _shows_own_rows(world, candidate):
            _take_back(world.context, [(_OF_FUNCTION, candidate.object)], Severity.WARNING)


def judge_views(world: World, views: Sequence[Candidate]) -> None:
    """Make infos of the errors about views that run as their owner and only count: they have one
    row of numbers, also where there are no rows.
    """
    worlds = [[], [world.statement(one.sql) for one in world.reach.alone]]
    for view in views if world.reach.alone else ():
        caller = world.caller(view, view.callers[0])
        query = sql.SQL("select to_jsonb(r) from {} as r limit 2").format(qualified(view.name))
        read = [caller_statement(caller), Statement(query.as_string(None))]
        answers = [Answered(caller, [world.own_role, *removed, *read]) for removed in worlds]
        world.run(answers)
        if all(_are_numbers(one.rows or ()) for one in answers):
            _take_back(world.context, [(_OF_VIEW, view.object)], Severity.INFO)


def _take_back(context: Context, ends: Ends, severity: Severity) -> None:
    """Make warnings or infos of the errors whose ids have these ends: a text was judged."""
    judged = list(ends)
    above = {Severity.ERROR, Severity.WARNING} - {severity}
    for number, one in enumerate(context.findings):
        if one.severity in above and any(one.id.ends_with(*end) for end in judged):
            context.findings[number] = replace(one, severity=severity)


def _is_error(context: Context, *end: str) -> bool:
    errors = (one for one in context.findings if one.severity is Severity.ERROR)
    return any(one.id.ends_with(*end) for one in errors)


def _has_run_all(table: Candidate, uses: Sequence[Use]) -> bool:
    """Whether the uses have run all that the triggers of a table do: their texts choose nothing by
    a value, and each event has changed a row of the caller.
    """
    wrote = frozenset[str]().union(*(use.wrote for use in uses if not use.is_control))
    return not texts.chooses(table.text) and wrote >= {*table.events}


def _proven(world: World, function: Candidate, uses: Sequence[Use]) -> Iterator[tuple[str, ...]]:
    """The ends of the ids of findings about a function of which everything was tried: it chooses
    nothing and shows each caller its own rows, it only passes on what its caller can ask itself, or
    it runs dynamic SQL for the literals of its own text alone.
    """
    text = texts.without_comments(function.text)
    if _is_error(world.context, _OF_FUNCTION, function.object) and (
        (not _called_in(world, text) and _counts(function, text, uses))
        or _is_of_service(text, uses)
        or _only_inserts(world, text, uses)
        or (not _chooses(function, text) and _shows_own_rows(world, function))
        or _passes_on(world, text, function.callers)
    ):
        yield _OF_FUNCTION, function.object
    if _is_closed(function, uses):
        yield *_OF_DYNAMIC, function.object


def _passes_on(
    world: World, text: str, callers: Sequence[str], before: Collection[str] = ("auth.uid",)
) -> bool:
    """Whether a function of this text reads and changes nothing but by functions that run as their
    owner too, and that its callers may call themselves.
    """
    names = texts.called_names(text) - {*before}
    if not names or not texts.read_names(text) <= names:
        return False
    if texts.commands(text) or _is_any(text, texts.knows_caller, texts.sets, texts.is_dynamic):
        return False
    rows: Sequence[Row] = _CALLABLE.rows(world.impersonation.connection, sorted(names), callers)
    return {name for name, _, _ in rows} == names and all(
        as_owner or _passes_on(world, texts.without_comments(body), callers, {*before, *names})
        for _, as_owner, body in rows
    )


def _called_in(world: World, text: str) -> set[str]:
    """The functions that a text calls, other than those that return who calls."""
    return texts.called_names(text) - {*world.reach.callers}


def _only_inserts(world: World, text: str, uses: Sequence[Use]) -> bool:
    """Whether a function reads and changes no row, and what it inserts is its caller's: no call has
    inserted one of others.
    """
    return (
        any(use.answer is not None for use in uses)
        and not texts.read_names(text)
        and texts.commands(text) == {"insert"}
        and not _is_any(text, texts.sets, texts.is_dynamic, texts.knows_caller)
        and _called_in(world, text) <= texts.written_names(text)
    )


def _shows_own_rows(world: World, function: Candidate) -> bool:
    """Whether a function answers each caller as if there were no rows of others. Its text reads
    nothing else and knows no caller but by its id. One that chooses by other arguments than an id,
    whose literals are tried, reads no user by the id either.
    """
    text = texts.without_comments(function.text)
    readable = {*world.tables, *(() if _chooses(function, text) else (_USERS,))}
    if (
        not _is_error(world.context, _OF_FUNCTION, function.object)
        or texts.knows_caller(text)
        or not texts.read_names(text) <= readable
        or _called_in(world, text)
    ):
        return False
    pairs = [pair for alone in world.reach.alone for pair in _compared(world, function, alone)]
    world.run(chain(*pairs))
    return any(with_others.rows is not None for with_others, _ in pairs) and all(
        with_others.rows == without.rows for with_others, without in pairs
    )


def _compared(
    world: World, function: Candidate, alone: Given
) -> Iterator[tuple[Answered, Answered]]:
    """Calls of one caller, with the rows of others and without."""
    if alone.caller is None or alone.caller.role not in function.callers:
        return
    caller = alone.caller.filled(world.impersonation.texts)
    removed = world.statement(alone.sql)
    states = [world.statement(state) for state in world.reach.states]
    for values in world.values.profiles(function.types, more=suggested(world, function)):
        last = [caller_statement(caller), called(function, values)]
        for before in ([], *([state] for state in states)):
            yield (
                Answered(caller, [world.own_role, *before, *last]),
                Answered(caller, [world.own_role, *before, removed, *last]),
            )


def _is_any(text: str, *tests: Callable[[str], bool]) -> bool:
    return any(test(text) for test in tests)


def _chooses(function: Candidate, text: str) -> bool:
    """Whether a function chooses rows by more than an id."""
    return texts.chooses_rows(text) or [*function.types] not in ([], ["uuid"])


def _counts(function: Candidate, text: str, uses: Sequence[Use]) -> bool:
    """Whether a function that its caller tells nothing answers with a number alone: nobody learns
    whose rows they are.
    """
    answers = [use.answer for use in uses if use.answer is not None]
    is_number = bool(answers) and all(re.fullmatch(r"\d+", answer) for answer in answers)
    return is_number and not function.types and not texts.commands(text)


def _is_of_service(text: str, uses: Sequence[Use]) -> bool:
    """Whether a function serves only those whom the service has chosen: it has refused all calls,
    also with what callers write themselves.
    """
    refused = all(use.is_refused or use.answer == "" for use in uses)
    return bool(uses) and refused and texts.reads_app_metadata(text)


def _is_closed(function: Candidate, uses: Sequence[Use]) -> bool:
    """Whether a function of one text accepts only literals of its own text, all of which were
    tried.
    """
    found = texts.literals(texts.without_comments(function.text))
    literals = {literal for literal in found if literal and "%" not in literal}
    answered = [use for use in uses if use.answer is not None]
    return (
        [*function.types] == ["text"]
        and bool(answered)
        and literals <= {*function.literals}
        and all(_names(use, literals) for use in answered)
    )


def _names(use: Use, literals: Collection[str]) -> bool:
    """Whether the argument of a call is one of these literals."""
    return any(f"('{literal}'::" in use.said for literal in literals)


def _are_numbers(rows: Sequence[Row]) -> bool:
    """Whether there is one row, a JSON object that has numbers only."""
    if len(rows) != 1:
        return False
    return all(type(value) in (int, float) for value in rows[0][0].values())
