"""The identity of a request, as declared in TOML: role, JWT claims, headers, and the settings that
they result in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from supabase_jobs.database.request import request_settings

# stands for null in declarations, where an id is expected
NULL = "null"


@dataclass(frozen=True)
class Identity:
    """The role, JWT claims and headers of a request, and settings that are set without conversion.

    Texts may contain `$name` placeholders. If there is a `previous` identity, the same connection
    served it before, and ran the statement `previous_statement`.
    """

    name: str
    role: str
    claims: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    previous: "Identity | None" = None
    previous_statement: str = ""

    def claims_for(self, texts: Mapping[str, str]) -> dict[str, Any] | None:
        """The claims with their placeholders replaced."""
        return (
            None
            if self.claims is None
            else {name: _filled(value, texts) for name, value in self.claims.items()}
        )

    def headers_for(self, texts: Mapping[str, str]) -> dict[str, str] | None:
        """The headers with their placeholders replaced."""
        if self.headers is None:
            return None
        return {_filled(name, texts): _filled(value, texts) for name, value in self.headers.items()}

    def settings_for(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The settings that PostgREST would make for this identity."""
        # a setting that is local to a transaction is '' in the next transaction
        settings = (
            {} if self.previous is None else dict.fromkeys(self.previous.settings_for(texts), "")
        )
        settings |= {name: _filled(value, texts) for name, value in self.settings.items()}
        return settings | request_settings(self.claims_for(texts), self.headers_for(texts))

    def placeholders(self) -> set[str]:
        """The names of all placeholders, in lower case and without `_hex`;
        `impersonation.make_names` has all forms.
        """
        tables = (self.settings, self.claims or {}, self.headers or {})
        texts = [
            text
            for table in tables
            for pair in table.items()
            for text in pair
            if isinstance(text, str)
        ]
        return {
            name.lower().removesuffix("_hex")
            for text in texts
            for name in Template(text).get_identifiers()
        }


def _filled(value: Any, texts: Mapping[str, str]) -> Any:
    return Template(value).substitute(texts) if isinstance(value, str) else value
