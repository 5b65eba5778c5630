"""Try statements of a caller on views and functions; compare their answers in several worlds."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes.arguments import PART
from supabase_jobs.audit.probes.comparison import Answer, Answers, Flow, flow
from supabase_jobs.audit.probes.worlds import Worlds
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.session.impersonation import Impersonation, caller_statement, check_caller
from supabase_jobs.session.runner import AS_CALLER, WORLD, Tried
from supabase_jobs.session.steps import Steps


class Compared(Tried, Protocol):
    """Something that a caller tries. The answer to its `inquiry` may depend on rows of `reads`,
    tables that it may read as somebody else.
    """

    @property
    def inquiry(self) -> Statement:
        """The statement whose answer is compared."""
        ...

    @property
    def answer(self) -> Answer:
        """The answer to it in the generated world."""
        ...

    @property
    def reads(self) -> Collection[int]:
        """The oids of these tables."""
        ...

    @property
    def is_general(self) -> bool:
        """Whether nothing that the caller passes can identify a row."""
        ...

    @property
    def passed(self) -> tuple[str, ...]:
        """The texts that the caller passes, one of which may identify a row."""
        ...

    @property
    def looks_up(self) -> Collection[ColumnKey]:
        """The columns that are compared with what the caller passes, as far as known."""
        ...

    def judge(self, kind: Flow, rows: Sequence[Row]) -> None:
        """Take over what flows, and one row of each table from which it flows."""
        ...


@dataclass(frozen=True)
class _World:
    """A world, the statements of the owner that make it, and what is asked in it."""

    made_by: Sequence[Statement]
    asked: Sequence[Compared]


class Interference:
    """A probe of what one caller tries.

    First every statement runs in the generated world. Those with an answer run again without the
    refused rows. Those whose answer differs then run again in the first world, with other contents,
    and without the rows of each table alone.
    """

    def __init__(self, caller: Persona, tried: Sequence[Compared], worlds: Worlds) -> None:
        self._caller, self._tried, self._worlds = caller, tried, worlds
        self._refused = worlds.refused(caller)
        self._contents = worlds.contents(self._refused)

    def steps(self, impersonation: Impersonation) -> Steps[None]:
        """One step for each of the three."""
        groups = [[AS_CALLER.undo, *one.statements] for one in self._tried]
        begun, *results = yield [[caller_statement(self._caller), AS_CALLER.save], *groups]
        begun.answer()
        check_caller(impersonation, self._caller, begun.answers[0])
        for one, result in zip(self._tried, results, strict=True):
            one.read(GroupResult(result.answers[1:], result.error))
        compared = [one for one in self._tried if self._depends(one)]
        if not compared:
            return
        worlds = [_World(self._worlds.without(self._refused), compared)]
        everybody = self._refused.of_everybody
        general = [one for one in compared if one.is_general]
        if everybody is not None and general:
            worlds.append(_World(self._worlds.without(everybody), general))
        absent, *nobody = yield from self._ask(worlds)
        # a number about all rows may depend on those of both tenants only
        absent |= {
            one: answer
            for answered in nobody
            for one, answer in answered.items()
            if absent.get(one) == one.answer
        }
        differing = [one for one in compared if absent.get(one, one.answer) != one.answer]
        if differing:
            yield from self._classify(differing, absent)

    def _depends(self, one: Compared) -> bool:
        """Whether refused rows may be in an answer."""
        has_answer = bool(one.answer.text) and not one.answer.error
        return self._worlds.is_possible and has_answer and bool(self._tables(one))

    def _tables(self, one: Compared) -> set[int]:
        return self._refused.tables & set(one.reads)

    def _classify(
        self, differing: Sequence[Compared], absent: dict[Compared, Answer]
    ) -> Steps[None]:
        """Ask again in the first world, with other contents, and without each table alone."""
        worlds = [_World((), differing)]
        by_fixed: dict[frozenset[ColumnKey], list[Compared]] = {}
        for one in differing:
            by_fixed.setdefault(self._looked_up(one), []).append(one)
        for fixed, asked in by_fixed.items():
            worlds.append(_World(self._worlds.with_other_contents(self._refused, fixed), asked))
        tables = sorted(set().union(*(self._tables(one) for one in differing)))
        for oid in tables:
            asked = [one for one in differing if oid in self._tables(one)]
            worlds.append(_World(self._worlds.without(self._refused.of({oid})), asked))
        again, *others = yield from self._ask(worlds)
        other: dict[Compared, Answer] = {}
        for answered in others[: len(by_fixed)]:
            other |= answered
        alone = dict(zip(tables, others[len(by_fixed) :], strict=True))
        for one in differing:
            answers = Answers(
                first=one.answer,
                again=again.get(one, Answer()),
                absent=absent[one],
                other=other.get(one, one.answer),
            )
            kind = flow(answers, self._ids(one), self._contents, is_general=one.is_general)
            if kind is not None:
                changing = [
                    oid
                    for oid, answered in alone.items()
                    if answered.get(one, one.answer) != one.answer
                ]
                one.judge(kind, list(self._examples(changing or self._tables(one))))

    def _ask(self, worlds: Sequence[_World]) -> "Steps[list[dict[Compared, Answer]]]":
        """The answers in each world; none in a world that cannot be made."""
        become = caller_statement(self._caller)
        groups: list[list[Statement]] = []
        for number, world in enumerate(worlds):
            begin = WORLD.undo if number else WORLD.save
            groups.append([begin, *world.made_by, become, AS_CALLER.save])
            groups += [[AS_CALLER.undo, one.inquiry] for one in world.asked]
        results = iter((yield groups))
        found: list[dict[Compared, Answer]] = []
        for world in worlds:
            begun = next(results)
            answered = {one: _answer(next(results)) for one in world.asked}
            if begun.error is not None:
                self._worlds.failures.append(begun.error)
            found.append(answered if begun.error is None else {})
        return found

    def _looked_up(self, one: Compared) -> frozenset[ColumnKey]:
        """The columns with a content that the caller passes, or a part of it: with another one, a
        call would look up nothing.
        """
        words = [word for text in one.passed for word in text.split() if len(word) >= PART]
        found = set[ColumnKey]()
        for text, columns in self._contents.items():
            is_text = len(text) >= PART
            if is_text and any(text in word or word in text for word in words):
                found |= columns
        return frozenset(found & set(one.looks_up) or found)

    def _ids(self, one: Compared) -> set[str]:
        """The UUIDs of the refused rows that the caller does not pass."""
        passed = "\n".join(one.passed)
        found = {value for row in self._refused.rows for value in _uuids(row)}
        return {value for value in found if value not in passed}

    def _examples(self, tables: Iterable[int]) -> Iterable[Row]:
        """A refused row of each table."""
        for oid in sorted(tables):
            rows = (*self._refused.rows, *self._refused.in_part)
            yield next(row for row in rows if row.relation.oid == oid)


def _uuids(row: Row) -> Iterable[str]:
    for column in row.relation.columns:
        value = row.values.get(column.name)
        if column.base == "uuid" and value is not None:
            yield value


def _answer(result: GroupResult) -> Answer:
    return answer_of(GroupResult(result.answers[1:], result.error))


def answer_of(result: GroupResult, position: int = 0) -> Answer:
    """The answer of the statement at a position: one text, or the error of the group."""
    if result.error is not None:
        return Answer(error=result.error.sqlstate or "error")
    rows = result.answers[position].rows
    return Answer("" if not rows or rows[0][0] is None else str(rows[0][0]))
