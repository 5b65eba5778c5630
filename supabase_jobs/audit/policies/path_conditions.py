"""Conditions of a path, while it is read: rows, and pairs of terms with an operator."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.policies.expressions import (
    EACH,
    IS_NOT_NULL,
    IS_NULL,
    USER_ID,
    Literal,
    Now,
)
from supabase_jobs.audit.policies.paths import CONTAINS_NOW, Cell, ClaimStep, Path, Test, in_order

# the caller is an element of an array
ELEMENT = "any"
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


@dataclass(frozen=True)
class Known:
    """The conditions so far: rows, and pairs of terms with an operator."""

    tables: tuple[str, ...]
    atoms: tuple[tuple[str, "Term", "Term"], ...] = ()

    def with_row(self, table: str) -> tuple["Known", int]:
        """The conditions with another row, and its number."""
        return replace(self, tables=(*self.tables, table)), len(self.tables)

    def with_atom(self, operator: str, left: "Term", right: "Term") -> "Known":
        """The conditions with another one, if both of its terms are known."""
        if left is None or right is None:
            return self
        return replace(self, atoms=(*self.atoms, (operator, left, right)))


@dataclass(frozen=True)
class ClaimPath:
    """A claim at a path."""

    steps: tuple[ClaimStep, ...]


@dataclass(frozen=True)
class Listed(Literal):
    """The first of several constants, by their texts."""

    others: tuple[str, ...] = ()


Term = Cell | ClaimPath | Literal | Now | None
_USER = ClaimPath(USER_ID.path)


@dataclass(frozen=True)
class Scope:
    """The names of a query: its rows, its other terms, and those of the query around it."""

    rows: Mapping[str, tuple[int, Relation]] = field(default_factory=dict)
    terms: Mapping[str, Term] = field(default_factory=dict)
    outer: "Scope | None" = None

    def term(self, table: str | None, column: str) -> Term:
        """The term that a name stands for; None if it is unknown."""
        if table is not None and table in self.rows:
            row, relation = self.rows[table]
            return Cell(row, column) if column in relation.by_name else None
        if table is None:
            for row, relation in self.rows.values():
                if column in relation.by_name:
                    return Cell(row, column)
        if (table or column) in self.terms:
            return self.terms[table or column]
        return self.outer.term(table, column) if self.outer is not None else None


def with_comparison(known: Known, operator: str, left: Term, right: Term) -> Known:
    """The conditions, with a comparison."""
    if operator in _MIRRORED:
        return known.with_atom(operator, left, right)
    if operator in ("?", "?|", "?&", "@>") and isinstance(left, ClaimPath):
        if isinstance(right, Literal):
            right = Literal(right.text.strip('[]" '))
        return known.with_atom("=", ClaimPath((*left.steps, EACH)), right)
    if operator == "@>" and isinstance(left, Cell):
        return known.with_atom(CONTAINS_NOW if isinstance(right, Now) else ELEMENT, right, left)
    if operator == "<@" and isinstance(right, Cell):
        return known.with_atom(CONTAINS_NOW if isinstance(left, Now) else ELEMENT, left, right)
    return known


def path_of(known: Known, *, reads: bool) -> Path | None:
    """The path of what must hold; None if only the row of the policy decides, or nobody."""
    found = _Parts()
    for operator, left, right in known.atoms:
        if operator in (ELEMENT, CONTAINS_NOW):
            found.add_contained(left, right)
        elif isinstance(right, Cell):
            found.add(_MIRRORED.get(operator, operator), right, left)
        else:
            found.add(operator, left, right)
    is_asked = found.claims or found.wanted
    if not (is_asked or found.caller or found.among) or (len(known.tables) == 1 and not is_asked):
        return None
    path = Path(
        tables=known.tables,
        joined=frozenset(found.joined),
        caller=frozenset(found.caller),
        among=frozenset(found.among),
        claims=frozenset(found.claims),
        wanted=frozenset(found.wanted),
        tests=frozenset(found.tests),
        reads=reads,
    )
    return in_order(path)


@dataclass(eq=False)
class _Parts:
    """The parts of a path."""

    joined: set[tuple[Cell, Cell]] = field(default_factory=set)
    caller: set[Cell] = field(default_factory=set)
    among: set[Cell] = field(default_factory=set)
    claims: set[tuple[tuple[ClaimStep, ...], Cell]] = field(default_factory=set)
    wanted: set[tuple[tuple[ClaimStep, ...], str]] = field(default_factory=set)
    tests: set[Test] = field(default_factory=set)

    def add(self, operator: str, left: Term, right: Term) -> None:
        """Add a comparison, with the column on its left side if it has one."""
        if isinstance(left, Cell):
            self._add_of_column(operator, left, right)
            return
        if operator != "=" or not isinstance(left, ClaimPath) or not isinstance(right, Literal):
            return
        if left.steps and left.steps not in (_USER.steps, ("role",)):  # Auth sets these
            self.wanted.add((left.steps, right.text))

    def _add_of_column(self, operator: str, cell: Cell, other: Term) -> None:
        if operator in (IS_NULL, IS_NOT_NULL):
            self.tests.add(Test(cell, operator))
        elif isinstance(other, Literal):
            others = other.others if isinstance(other, Listed) else ()
            self.tests.add(Test(cell, operator, other.text, others))
        elif isinstance(other, Now):
            self.tests.add(Test(cell, operator))
        elif operator != "=" or other == cell:
            return
        elif other == _USER:
            self.caller.add(cell)
        elif isinstance(other, ClaimPath) and other.steps:
            self.claims.add((other.steps, cell))
        elif isinstance(other, Cell):
            self.joined.add((min(cell, other), max(cell, other)))

    def add_contained(self, element: Term, cell: Term) -> None:
        """Add that a range contains the time, or an array the caller."""
        if isinstance(cell, Cell) and isinstance(element, Now):
            self.tests.add(Test(cell, CONTAINS_NOW))
        elif isinstance(cell, Cell) and element == _USER:
            self.among.add(cell)
