"""The rows about which an answer says something, although the tables refuse them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Said:
    """The tables of these rows, by what an answer says about them.

    `shown` are those of rows whose contents it has, `identified` of those whose ids it has,
    `derived` of those from which it computes a number; of the rows of `existing` it tells whether
    or how many there are, and of those `counted` that or a sum about all rows. `has_secret`: it has
    a secret of Vault.
    """

    shown: Sequence[str] = ()
    identified: Sequence[str] = ()
    derived: Sequence[str] = ()
    existing: Sequence[str] = ()
    counted: Sequence[str] = ()
    has_secret: bool = False
