"""Tables of facts: STEM.toml has the cases of the kind of leak in audit/leaks/STEM.py.

    example = "todos: anyone may read"      # PROJECT: a fault of its faults.toml that shows the leak,
    example = "examples: new_rows"          # or a project of tests/audit/examples,
    example = "tests/audit/test_x.py: test" # or a test with a database

    [tables."public.notes"]                 # what differs from `_TABLE`; so in each case
    [callers.admin]                         # what differs from a caller whose kind is its name
    [views."public.lists"]                  # what differs from `_VIEW`

    [[cases]]
    name = "a stranger reads a row of another"
    tried = [{ by = "stranger", does = "select", whose = "other" }]  # the outcome is rows
    finds = ["error read:public.notes:select"]                       # severity and id
    messages = ["…"]                        # of these leaks, as far as the case is about them
    causes = ["…"]
    fixes = ["…"]

`opened` names the write by its position among `tried`; `viewed`, `called` and `channels` are what
was tried on views, functions and topics, `refusals` what policies permit and nobody has.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from supabase_jobs.audit import callers, words
from supabase_jobs.audit.facts.actors import Actor, Membership
from supabase_jobs.audit.facts.attempts import Opened, Tried, TriedRow
from supabase_jobs.audit.facts.calls import Called
from supabase_jobs.audit.facts.channels import Channel, ChannelPolicy, ChannelTried
from supabase_jobs.audit.facts.columns import Decided
from supabase_jobs.audit.facts.facts import (
    Exclusion,
    Facts,
    OpenPolicies,
    Sequenced,
    Standing,
    UnreadColumn,
)
from supabase_jobs.audit.facts.functions import Unpassed
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.facts.views import View, ViewTried
from supabase_jobs.audit.policies.caller_states import CallerState
from supabase_jobs.audit.policies.captured_names import CapturedName
from supabase_jobs.audit.policies.decided_elsewhere import Elsewhere
from supabase_jobs.audit.policies.left_out import LeftOut
from supabase_jobs.audit.policies.link_states import LinkState
from supabase_jobs.audit.policies.lone_guards import LoneGuard
from supabase_jobs.audit.policies.loose_states import Gap, LooseState
from supabase_jobs.audit.policies.one_table import OneTable
from supabase_jobs.audit.policies.refusals import Reason, Refusal
from supabase_jobs.audit.policies.shown_states import ShownState
from supabase_jobs.audit.policies.siblings import Omission, Unasked
from supabase_jobs.audit.policies.uneven_writes import Uneven, UnevenWrite
from supabase_jobs.audit.policies.visitors import Shown
from supabase_jobs.audit.policies.void_revokes import VoidRevoke
from supabase_jobs.audit.rows.held_role import DecidingRoles, HeldRole
from supabase_jobs.database.parser.privileges import Privilege
from supabase_jobs.findings import RowState

FOLDER = Path(__file__).parent
_GRANTED = [
    f"{role} {privilege}"
    for role in ("anon", "authenticated")
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")
]
_OUTSIDERS = {
    callers.ANON,
    callers.NEWCOMER,
    callers.STRANGER,
    callers.INVITED,
    callers.FORMER,
    callers.FORGER,
    callers.IMPOSTOR,
    callers.DECLARED,
    callers.ANONYMOUS,
}
_TABLE: Mapping[str, Any] = {
    "columns": ["id", "user_id", "body"],
    "granted": _GRANTED,
    "listed": {},
    "served_to": ["anon", "authenticated"],
    "is_selected": True,
    "rls": True,
    "is_foreign": False,
    "partition_of": None,
    "owned": True,
    "users": ["user_id"],
    "updating": ["user_id"],
    "accepts_rows": True,
    "is_for_guests": True,
    "selecting": {"anon": ["all"], "authenticated": ["all"]},
}
_VIEW: Mapping[str, Any] = {
    "is_materialized": False,
    "is_invoker": False,
    "columns": ["id", "body"],
    "granted": _GRANTED,
    "links": [],
    "selects": False,
}
_Value = TypeVar("_Value")


@cache
def load(stem: str) -> Mapping[str, Any]:
    """The file of a kind."""
    with (FOLDER / f"{stem}.toml").open("rb") as file:
        return tomllib.load(file)


def stems() -> list[str]:
    """The kinds with a table."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def facts_of(
    document: Mapping[str, Any], case: Mapping[str, Any], known: words.Words | None = None
) -> Facts:
    """The facts of a case; names are recognized by the words `known`, or those of words.toml."""
    return _Builder(document, case).facts(known or words.load())


class _Builder:
    def __init__(self, document: Mapping[str, Any], case: Mapping[str, Any]) -> None:
        self._case = case
        self._overrides = {
            part: _merged(document.get(part, {}), case.get(part, {}))
            for part in ("tables", "callers", "views")
        }
        self._actors: dict[str, Actor] = {}
        labels = ["public.notes", *sorted(self._overrides["tables"])]
        self._tables = {label: self._table(label) for label in dict.fromkeys(labels)}

    def facts(self, known: words.Words) -> Facts:
        case = self._case
        tried = [self._tried(number, one) for number, one in enumerate(case.get("tried", []))]
        return Facts(
            words=known,
            tables=self._tables,
            tried=tried,
            opened=[
                Opened(tried[one["write"]], one["table"], one.get("row", 0), one["does"])
                for one in case.get("opened", [])
            ],
            views=[self._viewed(one) for one in case.get("viewed", [])],
            calls=[self._called(one) for one in case.get("called", [])],
            calls_of_staff=[self._called(one) for one in case.get("called_by_staff", [])],
            unread_columns=[UnreadColumn(**one) for one in case.get("unread_columns", [])],
            of_one_table=[OneTable(**one) for one in case.get("of_one_table", [])],
            standings=[Standing(**one) for one in case.get("standings", [])],
            exclusions=[Exclusion(**one) for one in case.get("exclusions", [])],
            topmost=[_held(one) for one in case.get("topmost", [])],
            channels=[self._channel(one) for one in case.get("channels", [])],
            public_buckets=case.get("public_buckets", []),
            open_policies=[
                OpenPolicies(one["table"], one["does"], one["role"], tuple(one["policies"]))
                for one in case.get("open_policies", [])
            ],
            sequences=[Sequenced(**one) for one in case.get("sequences", [])],
            refusals=[_refusal(one) for one in case.get("refusals", [])],
            link_states=[LinkState(**one) for one in case.get("link_states", [])],
            captured_names=[CapturedName(**one) for one in case.get("captured_names", [])],
            unpassed=[Unpassed(**one) for one in case.get("unpassed", [])],
            left_out=[LeftOut(**one) for one in case.get("left_out", [])],
            loose_states=[
                LooseState(**{**one, "gap": Gap[one["gap"]]})
                for one in case.get("loose_states", [])
            ],
            unread_flags=case.get("unread_flags", []),
            uneven_writes=[
                UnevenWrite(
                    **{**one, "what": Uneven[one["what"]], "columns": tuple(one["columns"])}
                )
                for one in case.get("uneven_writes", [])
            ],
            lone_guards=[LoneGuard(**one) for one in case.get("lone_guards", [])],
            stated=case.get("stated", {}),
            void_revokes=[_void(one) for one in case.get("void_revokes", [])],
            caller_states=[CallerState(**one) for one in case.get("caller_states", [])],
            unasked=[
                Unasked(**{**one, "what": Omission[one["what"]]}) for one in case.get("unasked", [])
            ],
            shown_states=[ShownState(**one) for one in case.get("shown_states", [])],
        )

    def _actor(self, label: str) -> Actor:
        if label not in self._actors:
            given = dict(self._overrides["callers"].get(label, {}))
            kind = given.pop("kind", label)
            membership = given.pop("membership", None)
            fields: dict[str, Any] = {
                "label": label,
                "kind": kind,
                "role": "anon" if label.startswith("anon") else "authenticated",
                "is_outsider": kind in _OUTSIDERS,
                "link": "",
                "listing": "",
                "listed": "",
                "membership": None if membership is None else Membership(**membership),
                "remedy": "",
                "mark": "",
                "claim": "",
                "bears": "",
                "row_of": "",
                "held": {},
                "has_header_of_row": False,
                "is_made": False,
                "post": "",
            }
            self._actors[label] = Actor(**_known(fields, given))
        return self._actors[label]

    def _table(self, label: str) -> Table:
        schema, _, name = label.partition(".")
        given = {**_TABLE, **self._overrides["tables"].get(label, {})}
        if "elsewhere" in given:
            given["elsewhere"] = Elsewhere(**given["elsewhere"])
        if "visitors" in given:
            given["visitors"] = Shown(given["visitors"])
        # as that of a column: the group of facts about persons has the same name
        decided = _taken(Decided, given, {})
        return _composed(Table, _with_columns(given), schema=schema, name=name, decided=decided)

    def _view(self, label: str) -> View:
        schema, _, name = label.partition(".")
        fields = _known(_VIEW, self._overrides["views"].get(label, {}))
        return View(schema=schema, name=name, **_with_columns(fields))

    def _tried(self, number: int, given: Mapping[str, Any]) -> Tried:
        one = dict(given)
        table = self._tables[one.pop("table", "public.notes")]
        actor, action, whose = self._actor(one.pop("by")), one.pop("does"), one.pop("whose")
        part, decided_by = one.pop("part", ""), one.pop("decided_by", "")
        one.setdefault("outcome", "rows")
        return _composed(
            Tried,
            one,
            number=number,
            actor=actor,
            table=table,
            state=RowState.parse(part) if part else None,
            whose=whose,
            action=action,
            on=_taken(TriedRow, one, {"number": one.pop("row", 0)}),
            deciding=DecidingRoles(
                everywhere=_held(decided_by) if decided_by else None,
                in_group=one.pop("by_role", ""),
            ),
        )

    def _viewed(self, given: Mapping[str, Any]) -> ViewTried:
        one = dict(given)
        actor, view, action = self._actor(one.pop("by")), one.pop("view"), one.pop("does")
        return _composed(ViewTried, one, actor=actor, view=self._view(view), action=action)

    def _called(self, given: Mapping[str, Any]) -> Called:
        one = {"signature": "public.f()", "is_definer": True, **given}
        one["signature"] = one.pop("function", one["signature"])
        actor = self._actor(one.pop("by"))
        return _composed(Called, one, actor=actor)

    def _channel(self, given: Mapping[str, Any]) -> ChannelTried:
        one = dict(given)
        actor, action = self._actor(one.pop("by")), one.pop("does")
        channel = Channel(**{key: one.pop(key) for key in ("label", "prefix", "table", "own")})
        policies = [
            ChannelPolicy(p["name"], p.get("visible"), p.get("checked"))
            for p in one.pop("policies", [])
        ]
        fields = _known({"outcome": "rows", "reads_row": False}, one)
        return ChannelTried(
            actor=actor, channel=channel, action=action, policies=policies, **fields
        )


def _held(text: str) -> HeldRole:
    place, _, value = text.partition(" = ")
    table, _, column = place.partition(".")
    return HeldRole(table, column, value)


def _refusal(given: Mapping[str, Any]) -> Refusal:
    fields = dict(given)
    table, reason = fields.pop("table", "public.notes"), Reason(fields.pop("reason"))
    lists: dict[str, Any] = {key: tuple(value) for key, value in fields.items()}
    return Refusal(table=table, reason=reason, **lists)


def _known(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = given.keys() - defaults.keys()
    assert not unknown, f"unknown keys: {unknown}"
    return {**defaults, **given}


def _composed(kind: type[_Value], given: dict[str, Any], **fields: Any) -> _Value:
    """A value with these fields, and what is given of the others: in it, or in one of its parts."""
    value = _taken(kind, given, fields)
    assert not given, f"unknown keys: {set(given)}"
    return value


def _taken(kind: type[_Value], given: dict[str, Any], fields: Mapping[str, Any]) -> _Value:
    """Take from what is given the fields of a value, and of its parts."""
    found = dict(fields)
    for name, of in get_type_hints(kind).items():
        if name in given:
            found[name] = given.pop(name)
        elif name not in found and isinstance(of, type) and is_dataclass(of):
            found[name] = _taken(of, given, {})
    return kind(**found)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    names = {*below, *above}
    return {name: {**below.get(name, {}), **above.get(name, {})} for name in names}


def _with_columns(fields: dict[str, Any]) -> dict[str, Any]:
    columns = fields["columns"]
    if isinstance(columns, list):
        columns = {name: [] for name in columns}
    return {**fields, "columns": columns}


def _void(one: Mapping[str, Any]) -> VoidRevoke:
    schema, _, name = one["of"].partition(".")
    columns = tuple(one.get("columns", ()))
    kind = "table" if columns else "function"
    privilege = Privilege(kind, schema, name, one["privilege"], one["from"], columns)
    return VoidRevoke(one["object"], privilege, tuple(one["roles"]))
