"""Columns of one's own rows that the service usually sets: amounts, the state of a payment,
approvals and results.

Names alone prove nothing: the owner of a todo list sets `status`, and the seller of a thing its
`price`. So a column is reported if its owner may change it, and there is evidence that somebody
else decides about it:

- the owner cannot insert it: by a privilege on columns, or because the rows are inserted by
  functions or the service;
- the row refers to a table with a price, such as products or courses, and the owner cannot change
  the price, or another member of the group who reads it;
- payments: the table is called orders or payments, or has a column of a payment service, such as
  `stripe_payment_id`;
- functions with the rights of their owner set it, too: a question, unless a policy limits the
  values;
- an INSERT of the owner must not have the value that an UPDATE may set, as in untested_column.py.

An amount and the time of a payment need any of these; two of them make it an error. A state needs a
price or payments. An approval needs none: nobody approves their own request. A result (a grade, a
score) needs an insert that is refused, or a row of another table that it belongs to: an assignment,
a quiz. A due date needs payments, or a refused insert: then it is an info. Everything else is a
warning: it may be intended.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from supabase_jobs.audit.callers import ANON, CLAIM, MEMBER, NEWCOMER, OWNER, SERVICE, STRANGER
from supabase_jobs.audit.facts.attempts import Tried
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.tables import Table
from supabase_jobs.audit.leaks.attempts import changes_own, sets_refused
from supabase_jobs.audit.leaks.leak import (
    Asks,
    Kind,
    Question,
    ShownLeak,
    TableColumn,
    any_user,
    question,
    shown,
    who,
    who_writes,
)
from supabase_jobs.audit.probes.attempt import (
    CHOOSE,
    DECIDE,
    GROUP,
    INSERT,
    NONE,
    OTHER,
    OWN,
    SELECT,
    START,
    UPDATE,
)
from supabase_jobs.audit.words import Words
from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import HIDDEN, VIOLATES

KIND = Kind(
    code="service-column",
    order=280,
    severities=(Severity.ERROR, Severity.WARNING, Severity.INFO, Severity.QUESTION),
    sentence="Users choose an amount, a state, an approval or a result of their own rows.",
    of_column=True,
    asks=Asks.CHOSEN,
)


# what the question about the counters of all tables is about
_COUNTERS = "numbers from 0"


class _Meaning(Enum):
    """The meaning of a column."""

    AMOUNT = auto()
    PAYMENT_TIME = auto()
    STATE = auto()
    APPROVAL = auto()
    PROGRESS = auto()
    RESULT = auto()
    DUE = auto()


@dataclass(frozen=True)
class _Evidence:
    """Why somebody else decides about a column."""

    cannot_insert: bool
    refers_to_price: bool
    of_payments: bool
    is_pinned: bool

    @property
    def sentences(self) -> list[str]:
        """The evidence in words."""
        found = []
        if self.cannot_insert:
            found.append("they cannot insert it")
        if self.refers_to_price:
            found.append("the row refers to a price")
        if self.of_payments:
            found.append("the table is one of payments")
        if self.is_pinned:
            found.append("a new row must not have the value")
        return found


def find(facts: Facts) -> Iterator[ShownLeak | Question]:
    """One leak for each table and column; one question for each table about all others."""
    for label in dict.fromkeys(tried.table.label for tried in facts.tried):
        table = facts.tables[label]
        if not table.rls or not table.rows.owned or table.is_storage:
            continue
        yield from _of_decided(facts, table)
        yield from _of_own_decisions(facts, table)
        yield from _of_loose_guards(facts, table)
        yield from _of_later_guards(facts, table)
        changes = [t for t in facts.of_table(label) if changes_own(t) and not t.is_state]
        if table.rows.is_membership:
            # a flag there says what its member prefers, or whether a pending one is accepted
            for tried in changes:
                if tried.column not in table.values.flags:
                    yield from _of_managed(facts, tried)
        else:
            for tried in changes:
                yield from _of_column(facts, tried)
                yield from _of_counters(tried)
            yield from _of_new_rows(facts, table)
            yield from _of_given_rows(facts, table)
            yield from _of_unguarded(facts, table)


def _of_decided(facts: Facts, table: Table) -> Iterator[ShownLeak | Question]:
    """The columns of a new row that its writer cannot change afterwards, and others can: a leak if
    a trigger acts on what others decide.
    """
    for one in facts.of_table(table.label):
        membership = one.actor.membership
        is_strongest = membership is not None and membership.role == membership.strongest
        if one.name != START or not one.reached or one.failed or is_strongest:
            continue
        if one.column in table.code.acted_on:
            message = (
                f"{who(one.actor)} choose {one.column} of a new row, which only others change and"
                f" a trigger acts on: INSERT into {table.name}.{one.column}"
            )
            yield shown(KIND, Severity.WARNING, one, message)
        else:
            message = f"{who(one.actor)} choose {{}} of new rows in {table.label}. May they?"
            yield question(KIND, one, table.label, one.column, message)


def _of_loose_guards(facts: Facts, table: Table) -> Iterator[Question]:
    """The columns of one's own row that a trigger guards by <>, which is null as long as the column
    is.
    """
    for one in facts.of_table(table.label):
        is_change = one.action == UPDATE and one.whose == OWN and one.reached and not one.failed
        is_user = one.actor.kind in (NEWCOMER, STRANGER, MEMBER)
        if is_change and is_user and one.column in table.code.loose and not one.name:
            message = (
                f"{who_writes(one)} change {{}} of their own rows in {table.label}, which a trigger"
                " compares by <>: as long as it is null, nothing is refused. Is that intended?"
            )
            yield question(KIND, one, f"{table.label}:{UPDATE}", one.column, message)


def _of_own_decisions(facts: Facts, table: Table) -> Iterator[Question]:
    """The persons who decide about a row, such as its approver, if its writer may be one."""
    for one in facts.of_table(table.label):
        if one.name == DECIDE and one.reached:
            message = (
                f"Users can name themselves in {{}} of their new rows in {table.label}, and then"
                " change what they cannot change if it names another. May they?"
            )
            yield question(KIND, one, f"{table.label}:{INSERT}", one.column, message)


def _of_given_rows(facts: Facts, table: Table) -> Iterator[Question]:
    """The numbers that start with a constant, and what is paid for, of rows that their owner
    changes and does not insert; those that name a user are given rows.
    """
    if table.rows.per_user or table.rows.is_group or table.compared.updating:
        return
    for one in facts.of_table(table.label):
        if not changes_own(one) or one.is_state or _inserts(facts, one):
            continue
        if one.column in table.values.started or facts.words.paid_columns.matches(one.column):
            message = f"{any_user(one)} change {{}} of their own rows in {table.label},"
            message += " which they cannot insert. May they?"
            yield question(KIND, one, table.label, one.column, message)


def _of_unguarded(facts: Facts, table: Table) -> Iterator[Question]:
    """The numbers that start with a constant, of a row that each user has and everybody reads, that
    a trigger leaves free which guards other columns: a rating beside the credits.
    """
    if not table.rows.per_user or not table.code.frozen or not _is_public(facts, table):
        return
    for one in facts.of_table(table.label):
        is_free = one.column in table.values.started and one.column not in table.code.frozen
        if is_free and changes_own(one) and not one.is_state:
            message = (
                f"{any_user(one)} change {{}} of their own rows in {table.label}, which everybody"
                " reads; a trigger guards other columns of them. May they?"
            )
            yield question(KIND, one, f"{table.label}:unguarded", one.column, message)


def _of_later_guards(facts: Facts, table: Table) -> Iterator[ShownLeak | Question]:
    """The columns of a new row that something else of the project decides about: a trigger that
    guards them in changed rows, one that sets them unless the writer does, or a policy that shows
    rows by their value, which only others change.
    """
    seen = set[str]()
    for one in facts.of_table(table.label):
        is_chosen = one.name == CHOOSE and one.reached and not one.failed
        is_user = one.actor.kind in (ANON, STRANGER, CLAIM)
        if not is_chosen or not is_user or one.is_state or one.column in seen:
            continue
        writer = _writer(one)
        is_frozen = one.column in table.code.frozen and _is_refused_later(facts, one)
        is_shown = one.value in _shown_by(facts, one)
        by_others = (is_frozen or is_shown) and _is_set_by_others(facts, one)
        if is_frozen or one.column in table.code.computed or (is_shown and by_others):
            seen.add(one.column)
            if is_frozen and (by_others or one.column in table.code.reserved):
                message = (
                    f"{writer} choose {one.column} of a new row, which a trigger guards in changed"
                    f" rows: INSERT into {table.name}.{one.column}"
                )
                yield shown(KIND, Severity.WARNING, one, message)
                continue
            message = f"{writer} choose {{}} of new rows in {table.label}, about which the project"
            message += " decides in another place. May they?"
            yield question(KIND, one, table.label, one.column, message)


def _writer(one: Tried) -> str:
    """The writer of a new row as the subject of a sentence."""
    is_any = one.actor.role != "anon" and one.actor.kind != CLAIM
    return any_user(one) if is_any else who(one.actor)


def _is_refused_later(facts: Facts, insert: Tried) -> bool:
    """Whether the writer of a new row cannot give the column of an existing one a value."""
    updates = [
        t
        for t in facts.of_actor(insert.table.label, insert.actor)
        if t.action == UPDATE and t.whose == OWN and t.column == insert.column and not t.name
    ]
    return bool(updates) and not any(t.reached for t in updates)


def _is_set_by_others(facts: Facts, insert: Tried) -> bool:
    """Whether somebody changes the column, and not the writer of a new row."""
    changing = {
        t.actor
        for t in facts.of_table(insert.table.label)
        if t.action == UPDATE and t.column == insert.column and t.reached and not t.failed
        if t.actor.kind != SERVICE
    }
    return bool(changing) and not any(a.kind == insert.actor.kind for a in changing)


def _shown_by(facts: Facts, insert: Tried) -> set[str]:
    """The values of the column by which rows of others are shown that are hidden otherwise."""
    actors = {t.actor for t in facts.of_table(insert.table.label) if t.actor.is_outsider}
    pairs = [pair for a in actors for pair in facts.told_apart(a, insert.table.label, SELECT)]
    found = set[str]()
    for _, shown_ in pairs:
        columns = [c for c in shown_.conditions if c.is_own and c.name == insert.column]
        found |= {c.value for c in columns}
    return found | ({"t"} if "true" in found else set())


def _is_public(facts: Facts, table: Table) -> bool:
    """Whether everybody reads a row, so that a number in it, such as a rating, counts."""
    return any(
        t.action == SELECT and t.reached and t.whose == OTHER and t.actor.is_outsider
        for t in facts.of_table(table.label)
    )


def _of_new_rows(facts: Facts, table: Table) -> Iterator[ShownLeak | Question]:
    """The columns that users choose when they insert rows of their own.

    Who may not change a column later is not meant to choose it either.
    """
    tried = facts.of_table(table.label)
    changed = {(t.actor.role, t.column) for t in tried if changes_own(t)}
    asked = set(table.values.started) if _is_public(facts, table) else set()
    seen = set[str]()
    for one in tried:
        is_chosen = one.name == CHOOSE and one.reached and not one.failed
        if is_chosen and one.column in table.values.looked_up and one.column not in seen:
            seen.add(one.column)
            if facts.keeps_own(one):
                continue  # who reads the value and changes the row gains nothing
            message = f"{who(one.actor)} choose {{}} of new rows in {table.label}, by which a"
            message += " function finds them. May they?"
            yield question(KIND, one, table.label, one.column, message)
        if not is_chosen or one.column in seen or one.actor.kind != STRANGER:
            continue
        message = f"{_writer(one)} choose {{}} of new rows in {table.label}. May they?"
        if (one.actor.role, one.column) in changed:
            if one.column in asked:
                seen.add(one.column)
                yield question(KIND, one, table.label, one.column, message)
            continue
        meaning = _meaning(facts.words, one.column)
        is_state = meaning in (_Meaning.STATE, _Meaning.APPROVAL)
        if meaning is None or (is_state and not _is_success(facts.words, one)):
            if one.column in asked or one.column in table.code.managed:
                seen.add(one.column)
                yield question(KIND, one, table.label, one.column, message)
            continue
        seen.add(one.column)
        of_price = meaning is _Meaning.AMOUNT and _refers_to_price(facts, one)
        is_stated = meaning is _Meaning.AMOUNT and one.column in table.values.mandatory
        if is_stated and not (of_price or _is_of_payments(facts.words, table)):
            yield question(KIND, one, table.label, one.column, message)
            continue  # nobody else can state it
        if of_price or (meaning is not _Meaning.STATE and _is_kept(facts, table, one)):
            why = "the row refers to a price" if of_price else "they cannot change it"
            message = (
                f"{_writer(one)} choose {one.column} of a new row, although {why}: INSERT into"
                f" {table.name}.{one.column}"
            )
            yield shown(KIND, Severity.WARNING, one, message)
        else:
            yield question(KIND, one, table.label, one.column, message)


def _is_success(words: Words, tried: Tried) -> bool:
    return tried.value in ("t", "true") or words.success_states.matches(tried.value)


def _is_kept(facts: Facts, table: Table, insert: Tried) -> bool:
    """Whether the caller may change other columns of its row, and not this one."""
    return any(t.actor is insert.actor and changes_own(t) for t in facts.of_table(table.label))


def _of_column(facts: Facts, tried: Tried) -> Iterator[ShownLeak | Question]:
    table, words = tried.table, facts.words
    if _is_set_at_first(facts, tried):
        yield _of_set_column(tried)
        return
    meaning = _meaning(words, tried.column)
    if meaning is None:
        yield from _of_managed(facts, tried)
        return
    if _is_of_guests(facts, tried):
        return  # who receives them decides about them
    if table.rows.per_user and words.verification_columns.matches(tried.column):
        return  # of a profile, it is a privilege
    if meaning is _Meaning.STATE and _is_limited(facts, tried):
        return  # a policy says which states the owner may set
    evidence = _Evidence(
        cannot_insert=not _inserts(facts, tried),
        refers_to_price=_refers_to_price(facts, tried),
        of_payments=_is_of_payments(words, table),
        is_pinned=sets_refused(facts, tried),
    )
    severity = _severity(facts, tried, meaning, evidence)
    if severity is None:
        yield from _of_managed(facts, tried)
        return
    # not as the user whom the row names
    if tried.deciding.in_group or (table.compared.names_owner and not table.compared.updating):
        message = (
            f"{who_writes(tried)} change {{}} of rows in {table.label} by a role. May they decide"
            " about their own?"
        )
        yield question(KIND, tried, f"{table.label}:{UPDATE}", tried.column, message)
        return
    sentences = evidence.sentences
    why = f", although {' and '.join(sentences)}" if sentences else ""
    message = (
        f"{any_user(tried)} change {tried.column} of their own rows{why}: UPDATE of"
        f" {table.name}.{tried.column}"
    )
    yield shown(KIND, severity, tried, message)


def _is_set_at_first(facts: Facts, update: Tried) -> bool:
    """Whether a trigger sets the column in new rows, whatever the caller gives it."""
    chosen = [
        t
        for t in facts.of_table(update.table.label)
        if t.name == CHOOSE and t.actor is update.actor and t.column == update.column
    ]
    return bool(chosen) and all(t.outcome == HIDDEN for t in chosen)


def _is_of_guests(facts: Facts, update: Tried) -> bool:
    """Whether guests add the rows, which name no user, and cannot change the column: orders at a
    table, photos of a party.
    """
    table = update.table
    if table.persons.users or update.actor.role == "anon":
        return False
    of_guests = [t for t in facts.of_table(table.label) if t.actor.role == "anon" and t.reached]
    changes = [t for t in of_guests if t.action == UPDATE and t.column == update.column]
    return any(t.action == INSERT for t in of_guests) and not changes


def _of_set_column(tried: Tried) -> ShownLeak | Question:
    """A column that a trigger sets in new rows only: a number is computed, such as a price."""
    table = tried.table
    if tried.column in table.values.numbers:
        message = (
            f"{any_user(tried)} change {tried.column} of their own rows, although a trigger"
            f" sets it in new rows: UPDATE of {table.name}.{tried.column}"
        )
        return shown(KIND, Severity.WARNING, tried, message)
    message = (
        f"{any_user(tried)} change {{}} of their own rows in {table.label}, which a trigger"
        " sets in new rows. May they?"
    )
    return question(KIND, tried, table.label, tried.column, message)


def _of_managed(facts: Facts, tried: Tried) -> Iterator[Question]:
    """A column that functions set with the rights of their owner, so that they decide about it."""
    label = tried.table.label
    if tried.column in tried.table.code.managed and not _is_limited(facts, tried):
        message = (
            f"{any_user(tried)} change {{}} of their own rows in {label}, which functions of"
            " the project set, too. May they?"
        )
        yield question(KIND, tried, label, tried.column, message)


def _of_counters(tried: Tried) -> Iterator[Question]:
    """A number that starts at 0 in the row that each user has: what somebody else counts, such as
    points or a quota, starts so, and what users choose for themselves seldom.
    """
    table = tried.table
    if table.rows.per_user and tried.column in table.values.from_zero:
        message = (
            "Users change {} of the row that each of them has, which starts at 0. Does nothing"
            " else count by it?"
        )
        topic = TableColumn(table.label, tried.column)
        yield replace(question(KIND, tried, _COUNTERS, topic, message), of_all=True)


def _meaning(words: Words, column: str) -> _Meaning | None:
    lists = (
        (words.amount_columns, _Meaning.AMOUNT),
        (words.payment_time_columns, _Meaning.PAYMENT_TIME),
        (words.service_state_columns, _Meaning.STATE),
        (words.approval_columns, _Meaning.APPROVAL),
        (words.progress_columns, _Meaning.PROGRESS),
        (words.result_columns, _Meaning.RESULT),
        (words.grading_columns, _Meaning.RESULT),
        (words.due_columns, _Meaning.DUE),
    )
    return next((meaning for names, meaning in lists if names.matches(column)), None)


def _severity(
    facts: Facts, tried: Tried, meaning: _Meaning, evidence: _Evidence
) -> Severity | None:
    count = len(evidence.sentences)
    if meaning in (_Meaning.AMOUNT, _Meaning.PAYMENT_TIME):
        if count > 1:
            return Severity.ERROR
        return Severity.WARNING if count else None
    if meaning is _Meaning.STATE:
        is_about_money = evidence.of_payments or evidence.refers_to_price
        return Severity.WARNING if is_about_money else None
    if meaning is _Meaning.APPROVAL:
        return Severity.WARNING
    if meaning is _Meaning.PROGRESS:
        return Severity.WARNING if count else None
    if meaning is _Meaning.DUE:
        if evidence.of_payments:
            return Severity.WARNING
        return Severity.INFO if evidence.cannot_insert else None
    is_result = evidence.cannot_insert or _is_given_by_others(facts, tried)
    return Severity.WARNING if is_result else None


def _is_limited(facts: Facts, update: Tried) -> bool:
    """Whether a policy lets the caller set some values of the column only, and none that means
    success.
    """
    tried = [
        t
        for t in facts.of_table(update.table.label)
        if t.actor is update.actor and t.row == update.row
        if t.action == UPDATE and t.column == update.column
    ]
    if not any(t.outcome == VIOLATES for t in tried):
        return False
    return not any(t.reached and facts.words.success_states.matches(t.value) for t in tried)


def _inserts(facts: Facts, update: Tried) -> bool:
    """Whether the caller inserts rows of its own, with the column: below some row of its group, as
    a call that is still open, or as the person whom a policy for new rows asks for, with a role
    maybe. The owner is in one group who the stranger is in the other.
    """
    if not update.table.may(update.actor.role, "INSERT", update.column):
        return False
    return bool(update.table.compared.checked) or any(
        t.action == INSERT and t.whose == OWN and t.reached
        for t in facts.of_table(update.table.label)
        if t.actor is update.actor or t.actor.kind == OWNER
    )


def _refers_to_price(facts: Facts, update: Tried) -> bool:
    """Whether the row refers to a table with a price that the caller, or a member who reads it,
    cannot change.
    """
    for parent in facts.parents(update.table):
        prices = {name for name in parent.columns if facts.words.price_columns.matches(name)}
        tried = [t for t in facts.of_table(parent.label) if t.reached]
        changed = {
            t.column
            for t in tried
            if t.actor is update.actor and t.action == UPDATE and t.whose in (OWN, NONE)
        }
        if prices - changed:
            return True
        of_group = [t for t in tried if t.actor.kind == MEMBER and t.whose == GROUP]
        readers = {t.actor for t in of_group if t.action == SELECT}
        setters = {t.actor for t in of_group if t.action == UPDATE and t.column in prices}
        if prices and readers - setters:
            return True
    return False


def _is_of_payments(words: Words, table: Table) -> bool:
    if words.payment_tables.matches(table.name):
        return True
    return any(words.payment_service_columns.matches(name) for name in table.columns)


def _is_given_by_others(facts: Facts, tried: Tried) -> bool:
    """Whether a result belongs to a row of another user, or of nobody: an assignment, a quiz, a
    course.
    """
    table, words = tried.table, facts.words
    named = words.grading_columns.matches(tried.column) or words.examination_tables.matches(
        table.name
    )
    if not named or table.rows.per_user or not table.persons.users:
        return False
    return any(
        not parent.rows.per_user and (not parent.rows.owned or bool(parent.persons.users))
        for parent in facts.parents(table)
    )
