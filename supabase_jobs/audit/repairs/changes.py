"""Changes between two states of a database that may open access, with the statements that undo
them: policies, functions, triggers and grants.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit import catalog, token_hook
from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.leaks.leak import ShownLeak
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.probes.attempt import SELECT
from supabase_jobs.audit.rows import impostors
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import User
from supabase_jobs.database.batch import Statement, run_groups
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.session.settings import SETTINGS

_CATALOG = Path(__file__).parents[1] / "catalog"
_DEFINITIONS = sql_file(_CATALOG / "definitions.sql")
_TRIGGERS = sql_file(_CATALOG / "trigger_definitions.sql")
_ROLES = ("anon", "authenticated")
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
_COMMANDS = {"r": "select", "a": "insert", "w": "update", "d": "delete", "*": "all"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Change:
    """A change that may open access. `origin` is the object that reports locate it by, with the
    names of its `policies`; `undo` are the statements that end it, and `tables` and `functions` the
    oids of those that they change. `dropped`: undoing it drops this policy. `advice` says what to
    change if no statement undoes it.
    """

    cause: str
    origin: str
    undo: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    tables: frozenset[int] = frozenset()
    functions: frozenset[int] = frozenset()
    dropped: tuple[Relation, Policy] | None = None
    is_trigger: bool = False
    advice: str = ""

    @property
    def text(self) -> str:
        """The statements that undo it."""
        return "\n".join(self.undo)


@dataclass(frozen=True, eq=False)
class State:
    """A state of a database: its catalog, the definitions of its functions by their oids, and those
    of its triggers by table and name.
    """

    catalog: Catalog
    functions: Mapping[int, str]
    triggers: Mapping[tuple[str, str], str]


def read(connection: Connection, served: Sequence[str]) -> State:
    """Read the catalog, as an audit reads it, and the definitions of functions and triggers."""
    with rolled_back(connection, Statement(SETTINGS)):
        return state(connection, catalog.read(connection, served))


def state(connection: Connection, found: Catalog) -> State:
    """The state with a catalog. Reads the definitions of functions and triggers."""
    oids = [function.oid for function in found.functions if function.kind in ("f", "p")]
    schemas = sorted({relation.schema for relation in found.relations})
    statements = [_DEFINITIONS.statement(oids), _TRIGGERS.statement(schemas)]
    [result] = run_groups(connection, [statements])
    result.answer()
    functions, triggers = (answer.rows for answer in result.answers)
    return State(found, dict(functions), {(table, name): text for table, name, text in triggers})


def between(before: State, after: State) -> list[Change]:
    """The changes after which more may be possible than before."""
    old = {relation.label: relation for relation in before.catalog.relations}
    found: list[Change] = []
    for relation in after.catalog.relations:
        known = old.get(relation.label)
        if known is not None:
            found += _of_policies(known, relation)
            found += _of_grants(known, relation)
            found += _of_triggers(before, after, relation)
    found += _of_functions(before, after)
    return found


def elsewhere(known: Catalog, usage: Usage, leak: ShownLeak, relation: Relation) -> list[Change]:
    """The policies of other tables that policies of a table query: undone, they are dropped."""
    found = []
    for oid in sorted(usage.reads.get(relation.oid, set()) - {relation.oid}):
        other = known.by_oid.get(oid)
        for policy in () if other is None else other.policies:
            applies = policy.applies_to(leak.tried.actor.role) and policy.governs(SELECT)
            if other is not None and policy.permissive and applies:
                found.append(of_policy(other, policy))
    return found


def at_sign_up(plan: Plan, user: User) -> Change | None:
    """The functions that believe the metadata with which a user has signed up: the newcomer, who
    chooses none, cannot do the same. None if no function reads it.
    """
    found = impostors.reading(plan, user.chosen)
    names, keys = ", ".join(f.signature for f in found), ", ".join(user.chosen)
    return _believing(
        found,
        f"Users choose raw_user_meta_data when they sign up. Let {names} give {keys} a value that"
        " everybody may have, or read it from raw_app_meta_data.",
    )


def in_tokens(plan: Plan, key: str) -> Change | None:
    """The access token hook, if it believes a key of the metadata that users change."""
    found = token_hook.reading(plan.catalog.functions, key)
    names = ", ".join(f.signature for f in found)
    return _believing(
        found,
        f"Users change their user_metadata. Let {names} put {key} into claims only if a row of the"
        " project confirms it.",
    )


def _believing(found: Sequence[Function], advice: str) -> Change | None:
    if not found:
        return None
    return Change(
        cause=f"function {', '.join(f.signature for f in found)}",
        origin=f"{found[0].schema}.{found[0].name}",
        functions=frozenset(function.oid for function in found),
        advice=advice,
    )


def of_policy(relation: Relation, policy: Policy) -> Change:
    """A policy that exists, as a change that is undone by dropping it."""
    undo = sql.SQL("drop policy {} on {};").format(sql.Identifier(policy.name), relation.identifier)
    return Change(
        cause=f'policy "{policy.name}" of {relation.label}',
        origin=relation.label,
        policies=(policy.name,),
        undo=(undo.as_string(None),),
        tables=frozenset({relation.oid}),
        dropped=(relation, policy),
    )


def _of_policies(old: Relation, new: Relation) -> Iterator[Change]:
    known = {policy.name: policy for policy in old.policies}
    for policy in new.policies:
        was = known.get(policy.name)
        if was is None and policy.permissive:
            yield of_policy(new, policy)
        elif was is not None and was != policy:
            drop = sql.SQL("drop policy {} on {};").format(
                sql.Identifier(policy.name), new.identifier
            )
            undo: tuple[str, ...] = (drop.as_string(None), _created(new, was))
            yield _of_relation(new, f'policy "{policy.name}" of {new.label}', undo, policy.name)
    current = {policy.name for policy in new.policies}
    for policy in old.policies:
        if policy.name not in current and not policy.permissive:
            undo = (_created(new, policy),)
            yield _of_relation(new, f'no policy "{policy.name}" of {new.label} any more', undo)


def _created(relation: Relation, policy: Policy) -> str:
    """The statement that creates a policy."""
    kind = "" if policy.permissive else " as restrictive"
    roles = [sql.SQL("public") if r == "public" else sql.Identifier(r) for r in policy.roles]
    parts: list[sql.Composable] = [
        sql.SQL("create policy {} on {}{} for {} to {}").format(
            sql.Identifier(policy.name),
            relation.identifier,
            sql.SQL(kind),
            sql.SQL(_COMMANDS[policy.command]),
            sql.SQL(", ").join(roles),
        )
    ]
    for word, text in (("using", policy.visible), ("with check", policy.checked)):
        if text is not None:
            parts.append(sql.SQL("{} ({})").format(sql.SQL(word), sql.SQL(text)))
    return f"{sql.SQL(' ').join(parts).as_string(None)};"


def _of_grants(old: Relation, new: Relation) -> Iterator[Change]:
    """Privileges on a table or view."""
    for role in _ROLES:
        given = [
            privilege
            for privilege in _PRIVILEGES
            if f"{role} {privilege}" in new.granted and f"{role} {privilege}" not in old.granted
        ]
        if given:
            names = ", ".join(given)
            revoke = sql.SQL("revoke {} on {} from {};").format(
                sql.SQL(names.lower()), new.identifier, sql.Identifier(role)
            )
            cause = f"a grant of {names} on {new.label} to {role}"
            yield _of_relation(new, cause, (revoke.as_string(None),))


def _of_triggers(before: State, after: State, relation: Relation) -> Iterator[Change]:
    """Triggers that are gone, or that do something else."""
    for (table, name), text in before.triggers.items():
        now = after.triggers.get((table, name))
        if table != relation.label or now == text:
            continue
        undo: tuple[str, ...] = (f"{text};",)
        if now is not None:
            drop = sql.SQL("drop trigger {} on {};").format(
                sql.Identifier(name), relation.identifier
            )
            undo = (drop.as_string(None), *undo)
        what = "no trigger" if now is None else "trigger"
        change = _of_relation(relation, f'{what} "{name}" of {relation.label}', undo)
        yield replace(change, is_trigger=True)


def _of_relation(relation: Relation, cause: str, undo: tuple[str, ...], *policies: str) -> Change:
    return Change(
        cause=cause,
        origin=relation.label,
        policies=policies,
        undo=undo,
        tables=frozenset({relation.oid}),
    )


def _of_functions(before: State, after: State) -> Iterator[Change]:
    """Functions with another definition, and privileges on them."""
    old = {function.signature: function for function in before.catalog.functions}
    for function in after.catalog.functions:
        known = old.get(function.signature)
        if known is None:
            continue
        text = before.functions.get(known.oid)
        if text is not None and text != after.functions.get(function.oid):
            yield _of_function(function, f"function {function.signature}", f"{text.rstrip()};")
        given = [role for role in function.callers if role not in known.callers]
        roles = [role for role in given if role in _ROLES]
        if roles:
            revoke = sql.SQL("revoke execute on function {} from public, {};").format(
                sql.SQL(function.signature), sql.SQL(", ").join(map(sql.Identifier, roles))
            )
            cause = f"a grant of EXECUTE on {function.signature} to {', '.join(roles)}"
            yield _of_function(function, cause, revoke.as_string(None))


def _of_function(function: Function, cause: str, undo: str) -> Change:
    origin = f"{function.schema}.{function.name}"
    oids = frozenset({function.oid})
    return Change(cause=cause, origin=origin, undo=(undo,), functions=oids)


def distinct(changes: Iterable[Change]) -> list[Change]:
    """Each change once, by its statements."""
    return list({change.undo: change for change in changes}.values())
