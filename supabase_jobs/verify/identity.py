"""The identity of a request: its role, JWT claims and headers, and the settings that PostgREST makes for them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

# how declarations write null where the name of an id may stand
NULL = "null"


@dataclass(frozen=True)
class Identity:
    """Who a request comes from: a role, its JWT's claims, its headers, and settings made as they stand.

    Texts may hold `$name` placeholders. A setting that none of them makes is left alone. Where there is a `previous`
    identity, the same connection served it just before, and it did what `did` says.
    """

    name: str
    role: str
    claims: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    previous: "Identity | None" = None
    did: str = ""

    def settings_for(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The settings that PostgREST would make for this identity; it lower-cases header names."""

        def filled(text: Any) -> Any:
            return Template(text).substitute(texts) if isinstance(text, str) else text

        # a setting that is local to a transaction reads '' in the next one
        made = {} if self.previous is None else dict.fromkeys(self.previous.settings_for(texts), "")
        made |= {name: filled(text) for name, text in self.settings.items()}
        if self.claims is not None:
            made["request.jwt.claims"] = json.dumps({k: filled(v) for k, v in self.claims.items()})
        if self.headers is not None:
            made["request.headers"] = json.dumps({filled(k).lower(): filled(v) for k, v in self.headers.items()})
        return made

    def placeholders(self) -> set[str]:
        """The names of all placeholders in its texts, in lower case; see `impersonation.begin` for the other cases."""
        tables = (self.settings, self.claims or {}, self.headers or {})
        texts = [text for table in tables for pair in table.items() for text in pair if isinstance(text, str)]
        return {name.lower().removesuffix("_hex") for text in texts for name in Template(text).get_identifiers()}
