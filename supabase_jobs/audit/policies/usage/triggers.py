"""Triggers: the columns that they guard, set or act on, and the rows by which they refuse."""

import re
from collections.abc import Iterator

from supabase_jobs.audit.catalog import Function, Relation
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.policies.usage.names import Names
from supabase_jobs.audit.policies.usage.policies import Policies
from supabase_jobs.audit.policies.uses import Usage, extend

# the conditions of a body in PL/pgSQL, and the columns of the new row in them
CONDITION = re.compile(r"\bif\b(.*?)\bthen\b", re.IGNORECASE | re.DOTALL)
NEW = re.compile(r'\bnew\."?(\w+)', re.IGNORECASE)
OLD = re.compile(r'\bold\."?(\w+)', re.IGNORECASE)
_UNEQUAL = re.compile(r'\bnew\."?(\w+)"?\s*(?:<>|!=)\s*old\."?\1\b', re.IGNORECASE)
# a condition that raises an error if it holds, and one that holds if there is no row
_RAISING = re.compile(
    r"\bif\b((?:(?!\bif\b|\bthen\b).)*)\bthen\s+raise\b", re.IGNORECASE | re.DOTALL
)
_ABSENT = re.compile(r"\bnot\b|\bis\s+null\b|<>|!=", re.IGNORECASE)
# how a body refuses a row, sets a column of the new one, and takes it if it is not null
REFUSAL = re.compile(r"\braise\s+(exception|sqlstate|')", re.IGNORECASE)
_SET = re.compile(r'(?:;|\bthen|\belse|\bbegin)\s*new\."?(\w+)"?\s*:?=', re.IGNORECASE)
_COALESCED = re.compile(r'\bcoalesce\s*\(\s*new\."?\w+', re.IGNORECASE)


class Triggers:
    """Notes what the triggers of a table do."""

    def __init__(self, names: Names, usage: Usage, policies: Policies) -> None:
        self._names, self._usage, self._catalog = names, usage, names.catalog
        self._policies = policies

    def note_triggers(self, relation: Relation) -> None:
        """Note the columns on whose new value a trigger changes other tables with the rights of its
        owner.
        """
        for function in self._catalog.functions:
            if function.oid not in relation.triggers or not function.definer:
                continue
            others = self._usage.bodies.adds[function.oid] | {
                o for o, _ in self._usage.bodies.sets[function.oid]
            }
            if not others - {relation.oid}:
                continue
            for condition in CONDITION.findall(function.body):
                for column in NEW.findall(condition):
                    if column in relation.by_name:
                        known = self._usage.triggers.acted_on.setdefault((relation.oid, column), [])
                        extend(known, [function.signature])

    def note_frozen(self, relation: Relation) -> None:
        """Note the columns that a trigger compares with the old row and refuses, and none reads in
        new rows; and those that one sets in new rows if a condition about them says so.
        """
        functions = [f for f in self._catalog.functions if f.oid in relation.triggers]
        for function in functions:
            if not function.definer:
                self._policies.note_absent(relation, self._refused_by(function))
        inserting = [f for f in functions if f.oid in relation.insert_triggers]
        tested = {name for f in inserting for name in NEW.findall(f.body)}
        for function in functions:
            if function in inserting or not REFUSAL.search(function.body):
                continue
            unequal = {*_UNEQUAL.findall(function.body)} & {*relation.by_name}
            loose = {name for name in unequal if not relation.by_name[name].not_null}
            self._usage.triggers.loose |= {(relation.oid, name) for name in loose}
            compared = {*NEW.findall(function.body)} & {*OLD.findall(function.body)} - tested
            frozen = {(relation.oid, name) for name in compared & {*relation.by_name}}
            self._usage.triggers.frozen |= frozen
            self._usage.triggers.reserved |= frozen if self._may_ask(function) else set()
        for function in inserting:
            conditions = " ".join(CONDITION.findall(function.body))
            conditions += " ".join(_COALESCED.findall(function.body))
            set_ = {*_SET.findall(function.body)} & {*relation.by_name}
            self._usage.triggers.given |= {(relation.oid, name) for name in set_}
            self._usage.triggers.computed |= {
                (relation.oid, name) for name in set_ & {*NEW.findall(conditions)}
            }

    def _may_ask(self, function: Function) -> bool:
        """Whether a trigger names its caller, or a function that does, also outside of queries."""
        words = self._names.words[function.signature]
        asking = {f.name for f in self._catalog.functions if f.oid in self._usage.conditions.asking}
        return function.oid in self._usage.conditions.asking or not asking.isdisjoint(words)

    def _refused_by(self, function: Function) -> Iterator[str]:
        """The tables that the conditions of a function read which raise an error if they hold: a
        row that is not seen does not meet them.
        """
        for condition in _RAISING.findall(function.body):
            tree = parse_trees.expression_tree(condition)
            is_absent = _ABSENT.search(condition) is not None
            yield from () if tree is None or is_absent else parse_trees.tables(tree)
