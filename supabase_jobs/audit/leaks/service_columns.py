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
  `stripe_payment_id`.

An amount and the time of a payment need any of these; two of them make it an error. A state needs a
price or payments. An approval needs none: nobody approves their own request. A result (a grade, a
score) needs an insert that is refused, or a row of another table that it belongs to: an assignment,
a quiz. A due date needs payments, or a refused insert: then it is an info. Everything else is a
warning: it may be intended.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from supabase_jobs.audit.callers import MEMBER, NEWCOMER, STRANGER
from supabase_jobs.audit.catalog import Relation
from supabase_jobs.audit.leaks.leak import Leak
from supabase_jobs.audit.probes.attempt import GROUP, INSERT, NONE, OWN, SELECT, UPDATE, Attempt
from supabase_jobs.audit.rows.plan import Plan, user_columns
from supabase_jobs.findings import Severity

_UNITS = r"(_(cents|minor|net|gross|usd|eur|amount|price|total))?"
_AMOUNT = re.compile(
    rf"^((unit|sub|grand|order|net|gross|base|final|discount|shipping|tax|refund(ed)?|paid)_?)?"
    rf"(price|amount|total|subtotal|cost|fee|discount|tax){_UNITS}$"
    rf"|^(amount|balance|total)_(due|paid|refunded){_UNITS}$|^((account|credit)_?)?balance{_UNITS}$|^credits$"
)
_PAYMENT_TIME = re.compile(r"^(is_)?(paid|refunded|captured|charged|settled)(_(at|on|by))?$")
_STATE = re.compile(r"^((payment|order|fulfil?lment|shipping|delivery|billing)_)?(status|state)$")
_PROGRESS = re.compile(
    r"^(is_)?(checked_in|confirmed|shipped|delivered|fulfilled|reviewed)_(at|on|by)$"
)
_APPROVAL = re.compile(
    r"^(is_)?(approved|verified|authorized|authorised|granted)(_(at|on|by))?$|^approval_(status|state)$"
)
_RESULT = re.compile(
    r"^(final_|total_|exam_)?(grade|score|mark|marks|points|percentage)$|^(is_)?(correct|passed)$"
)
_GRADING = re.compile(r"^graded_(at|on|by)$|^(final_)?grade$")
_DUE = re.compile(r"^due(_(at|on|by|date))?$")
_PRICE = re.compile(
    r"^((unit|base|list|sale)_)?(price|fee)(_|$)|_price(_|$)|^(unit_)?amount(_cents|_minor)?$"
)
_PAYMENT_TABLE = re.compile(
    r"^(customer_|shop_)?(order|payment|purchase|checkout|charge|refund|payout)s?(_(item|line)s?)?$"
)
_PAYMENT_SERVICE = re.compile(
    r"^(stripe|paypal|paddle|lemon_?squeezy|adyen|razorpay|mollie|square|braintree|klarna)_|"
    r"^(payment_intent|checkout_session|payment_id|charge_id|payment_reference)"
)
_TESTS = re.compile(r"(submission|attempt|answer|exam|quiz|test|result|assessment)")


# values of a state that somebody else decides about
_SUCCESS = re.compile(
    r"paid|complete|done|ship|deliver|approv|accept|confirm|refund|settle|fulfil|release|active"
)


class _Kind(StrEnum):
    AMOUNT = "amount"
    PAYMENT_TIME = "payment time"
    STATE = "state"
    PROGRESS = "progress"
    APPROVAL = "approval"
    RESULT = "result"
    DUE = "due"


_KINDS = (
    (_AMOUNT, _Kind.AMOUNT),
    (_PAYMENT_TIME, _Kind.PAYMENT_TIME),
    (_STATE, _Kind.STATE),
    (_APPROVAL, _Kind.APPROVAL),
    (_PROGRESS, _Kind.PROGRESS),
    (_RESULT, _Kind.RESULT),
    (_GRADING, _Kind.RESULT),
    (_DUE, _Kind.DUE),
)


def find(
    plan: Plan, relation: Relation, attempts: Mapping[int, Sequence[Attempt]]
) -> Iterator[Leak]:
    """The leaks of a table; `attempts` are those of each table, by its oid."""
    if not plan.owned(relation) or relation.is_storage or relation.oid in plan.memberships:
        return
    for attempt in attempts.get(relation.oid, ()):
        own = (
            attempt.action == UPDATE
            and attempt.whose == OWN
            and attempt.reached
            and attempt.error is None
        )
        if not own or attempt.caller.kind not in (NEWCOMER, STRANGER) or attempt.is_state:
            continue
        kind = next(
            (kind for pattern, kind in _KINDS if pattern.search(attempt.column.lower())), None
        )
        if kind is None or (relation.oid in plan.per_user and "verified" in attempt.column.lower()):
            continue  # of a profile, it is a privilege
        if kind is _Kind.STATE and _is_limited(attempt, attempts[relation.oid]):
            continue  # a policy says which states the owner may set
        evidence = [
            text
            for text, holds in (
                ("they cannot insert it", not _inserts(attempt, attempts[relation.oid])),
                ("the row refers to a price", _refers_to_price(plan, attempt, attempts)),
                ("the table is one of payments", _of_payments(relation)),
            )
            if holds
        ]
        severity = _severity(plan, relation, attempt.column.lower(), kind, evidence)
        if severity is not None:
            why = f", although {' and '.join(evidence)}" if evidence else ""
            what = f"UPDATE of {relation.name}.{attempt.column}"
            message = (
                f"Any signed-in user can change {attempt.column} of their own rows{why}: {what}"
            )
            yield Leak("service-column", severity, relation, UPDATE, message, attempt)


def _is_limited(update: Attempt, attempts: Sequence[Attempt]) -> bool:
    """Whether a policy lets the caller set some values of the column only, and none that means
    success.
    """
    tried = [
        a
        for a in attempts
        if a.caller is update.caller
        and a.row is update.row
        and a.action == UPDATE
        and a.column == update.column
    ]
    allowed = [a.value or "" for a in tried if a.reached]
    return any(a.outcome == "violates" for a in tried) and not any(
        _SUCCESS.search(value.lower()) for value in allowed
    )


def _severity(
    plan: Plan, relation: Relation, column: str, kind: _Kind, evidence: Sequence[str]
) -> Severity | None:
    refused, of_payments = (
        "they cannot insert it" in evidence,
        "the table is one of payments" in evidence,
    )
    about_money = of_payments or "the row refers to a price" in evidence
    if kind in (_Kind.AMOUNT, _Kind.PAYMENT_TIME):
        if len(evidence) > 1:
            return Severity.ERROR
        return Severity.WARNING if evidence else None
    if kind is _Kind.STATE:
        return Severity.WARNING if about_money else None
    if kind is _Kind.APPROVAL:
        return Severity.WARNING
    if kind is _Kind.PROGRESS:
        return Severity.WARNING if evidence else None
    if kind is _Kind.DUE:
        return Severity.WARNING if of_payments else Severity.INFO if refused else None
    named = bool(_GRADING.search(column)) or _TESTS.search(relation.name) is not None
    belongs = named and relation.oid not in plan.per_user and _belongs_to_others(plan, relation)
    return Severity.WARNING if refused or belongs else None


def _inserts(update: Attempt, attempts: Sequence[Attempt]) -> bool:
    """Whether the caller inserts rows of its own, with the column."""
    may = update.relation.may(update.caller.role, "INSERT", update.column)
    return may and any(
        a.caller is update.caller and a.action == INSERT and a.whose == OWN and a.reached
        for a in attempts
    )


def _refers_to_price(
    plan: Plan, update: Attempt, attempts: Mapping[int, Sequence[Attempt]]
) -> bool:
    """Whether the row refers to a table with a price that the caller, or a member who reads it,
    cannot change.
    """
    for key in update.relation.foreign_keys:
        parent = plan.catalog.by_oid.get(key.target or 0)
        if parent is None or parent is update.relation:
            continue
        prices = {c.name for c in parent.columns if _PRICE.search(c.name.lower())}
        changed = {
            a.column
            for a in attempts.get(parent.oid, ())
            if a.caller is update.caller
            and a.action == UPDATE
            and a.whose in (OWN, NONE)
            and a.reached
        }
        readers, setters = (
            {
                a.caller
                for a in attempts.get(parent.oid, ())
                if a.caller.kind == MEMBER
                and a.whose == GROUP
                and a.reached
                and a.action == action
                and (action == SELECT or a.column in prices)
            }
            for action in (SELECT, UPDATE)
        )
        if prices - changed or (prices and readers - setters):
            return True
    return False


def _of_payments(relation: Relation) -> bool:
    names = [c.name.lower() for c in relation.columns]
    return bool(_PAYMENT_TABLE.search(relation.name.lower())) or any(
        _PAYMENT_SERVICE.search(name) for name in names
    )


def _belongs_to_others(plan: Plan, relation: Relation) -> bool:
    """Whether rows refer to rows of another user, or of nobody: an assignment, a quiz, a course."""
    if not user_columns(relation, plan.usage, plan.per_user):
        return False
    parents = (plan.catalog.by_oid.get(key.target or 0) for key in relation.foreign_keys)
    return any(
        parent is not None
        and parent is not relation
        and parent.oid not in plan.per_user
        and (not plan.owned(parent) or bool(user_columns(parent, plan.usage, plan.per_user)))
        for parent in parents
    )
