"""A caller: the role, JWT claims and headers of a request, and the settings that they result in."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from string import Template
from typing import Any

from supabase_jobs.database.request import request_settings


@dataclass(frozen=True)
class Caller:
    """Who makes a request. `settings` are set without conversion; `label` is the name in reports.

    With `claims` or `headers` None, the request makes no setting of them. The texts of a declared
    caller may contain `$name` placeholders, which `filled` replaces.
    """

    role: str
    claims: Mapping[str, Any] | None = field(default=None, hash=False)
    headers: Mapping[str, str] | None = field(default=None, hash=False)
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    label: str = ""

    def all_settings(self) -> dict[str, str]:
        """The settings that PostgREST would make for a request of the caller, and its own."""
        request = request_settings(self.claims, self.headers)
        return {**self.settings, **request, **self.settings}

    def after(self, served: "Caller") -> "Caller":
        """The caller on a connection that has served another one.

        A setting that is local to a transaction is '' in the next transaction.
        """
        own = self.all_settings()
        left = {name: "" for name in served.all_settings() if name not in own}
        return replace(self, settings={**left, **self.settings})

    def mapped(self, change: Callable[[str], str]) -> "Caller":
        """The caller with each of its texts changed."""
        return replace(
            self,
            claims=_mapped(self.claims, change),
            headers=_mapped(self.headers, change),
            settings=_mapped(self.settings, change),
        )

    def filled(self, texts: Mapping[str, str]) -> "Caller":
        """The caller with its placeholders replaced."""
        return self.mapped(lambda text: Template(text).substitute(texts))

    def placeholders(self) -> set[str]:
        """The names of all placeholders, in lower case and without `_hex`;
        `impersonation.make_names` has all forms.
        """
        found: set[str] = set()

        def collect(text: str) -> str:
            found.update(Template(text).get_identifiers())
            return text

        self.mapped(collect)
        return {name.lower().removesuffix("_hex") for name in found}

    def __str__(self) -> str:
        parts = [self.role]
        parts += [] if self.claims is None else [f"claims {json.dumps(self.claims, default=str)}"]
        parts += [f"headers {json.dumps(dict(self.headers))}"] if self.headers else []
        parts += [f"{name} = {value!r}" for name, value in self.settings.items()]
        return ", ".join(parts)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A value in which each text, also within an object or an array, is changed."""
    match value:
        case str():
            return change(value)
        case Mapping():
            return {change(name): _mapped(item, change) for name, item in value.items()}
        case list():
            return [_mapped(item, change) for item in value]
    return value
