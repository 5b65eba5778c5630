"""The results of `mutate`, of verify and of a suite: faults, and which of them were detected."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Fault:
    """SQL that breaks an object. The id, `family:operator:object…`, is the same in every run.

    `family` is the stem of the operator file, and `parts` are the operator, the object and details,
    such as a policy or a privilege and a role. `change` is the description without the part of the
    object that it names, '' if it names none.
    """

    family: str
    parts: tuple[str, ...]
    object: str
    description: str
    sql: str
    change: str = ""

    @property
    def id(self) -> str:
        """The id, which a waiver names."""
        return ":".join((self.family, *self.parts))

    @property
    def details(self) -> tuple[str, ...]:
        """The parts of the id after the object."""
        return self.parts[2:]

    @property
    def operator(self) -> str:
        """The family and the operator: `bodies:if-true` for `bodies:if-true-2:private.f()`."""
        return f"{self.family}:{self.parts[0].rstrip('0123456789').rstrip('-')}"


@dataclass(frozen=True)
class Mutant:
    """An injected fault. `by` has the ids of the first errors that `verify` found."""

    fault: Fault
    by: tuple[str, ...]
    waived: str | None = None

    @property
    def killed(self) -> bool:
        """Whether `verify` found an error."""
        return bool(self.by)

    @property
    def survived(self) -> bool:
        """Whether `verify` found no error and no waiver exists."""
        return not self.by and self.waived is None


@dataclass(frozen=True)
class MutationResult:
    """The mutants, and the faults that the database rejected (`not_injected`) with its errors."""

    mutants: tuple[Mutant, ...]
    not_injected: tuple[tuple[Fault, str], ...]

    @property
    def killed(self) -> int:
        """The number of killed mutants."""
        return sum(m.killed for m in self.mutants)

    @property
    def waived(self) -> tuple[Mutant, ...]:
        """The mutants that were not killed and have a waiver."""
        return tuple(m for m in self.mutants if not m.killed and m.waived is not None)

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """The mutants that were neither killed nor waived."""
        return tuple(m for m in self.mutants if m.survived)

    @property
    def ok(self) -> bool:
        """Whether a fault was injected, and no mutant survived."""
        return bool(self.mutants) and not self.survivors


@dataclass(frozen=True, kw_only=True)
class SuiteTest:
    """A missing test for one framework. `name` is that of its function or assertion, `comment` says
    which fault it detects, and `code` is the test without both. `text` is all of it, as a report
    prints it.
    """

    name: str
    comment: str
    code: str
    text: str = ""


@dataclass(frozen=True)
class SuiteMutant:
    """A fault that a project's suite ran with.

    `state`: killed, survived, equivalent, untested (it may be equivalent), or rejected by the
    database.

    `object` is the table, view or function, and `kind` policies, privileges or functions.
    `sentence` says what no test fails for if it survived. `by` are the failed tests, or the error
    of the database. `tests` are the missing test for pytest and for pgTAP; `note` says why there is
    none, or why nothing could be tested.
    """

    id: str
    object: str
    kind: str
    sentence: str
    sql: str
    state: str
    by: tuple[str, ...] = ()
    seconds: float = 0.0
    tests: Mapping[str, SuiteTest] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class SuiteMutation:
    """The result of `mutate --run`. `selected` mutants were to run; those that are missing did not
    because of Ctrl-C.

    `derived` is the number of faults before `--sample`, and `seed` its seed. The suite took
    `suite_seconds` without a fault, and may take `timeout`. `untouched` are objects that no test
    names.
    """

    mutants: tuple[SuiteMutant, ...]
    selected: int
    derived: int
    seed: int | None
    command: str
    suite_seconds: float
    timeout: float
    jobs: int
    seconds: float
    database: str = ""
    untouched: frozenset[str] = frozenset()

    def of(self, *states: str) -> tuple[SuiteMutant, ...]:
        """The mutants in these states."""
        return tuple(m for m in self.mutants if m.state in states)

    @property
    def scored(self) -> tuple[SuiteMutant, ...]:
        """The mutants that count: killed and survived."""
        return self.of("killed", "survived")

    @property
    def survivors(self) -> tuple[SuiteMutant, ...]:
        """The mutants that no test has detected."""
        return self.of("survived")

    @property
    def ok(self) -> bool:
        """Whether every mutant ran, none survived, and the database accepted a fault."""
        return (
            not self.survivors and self.is_complete and len(self.of("rejected")) < len(self.mutants)
        )

    @property
    def is_complete(self) -> bool:
        """Whether every mutant ran."""
        return len(self.mutants) == self.selected
