"""Settings of a project's config.toml or config.json, with the defaults of the Supabase CLI."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from supabase_jobs.errors import ConfigError
from supabase_jobs.sources.config_file import CONFIG_TOML, ConfigFile, load_config, parse_config

__all__ = [
    "CONFIG_TOML",
    "AccessTokenHook",
    "ApiSettings",
    "AuthSettings",
    "Bucket",
    "bucket_names",
    "lists_buckets",
    "load_api_settings",
    "load_auth_settings",
    "load_buckets",
    "load_major_version",
    "parse_api_settings",
    "schema_files",
    "seed_files",
]


@dataclass(frozen=True)
class ApiSettings:
    """The schemas that the API serves, the schemas that it adds to `search_path`, the most rows of
    a response, and whether the API roles get privileges on new objects (None: not set).
    """

    schemas: tuple[str, ...] = ("public", "graphql_public")
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    max_rows: int = 1000
    auto_expose_new_tables: bool | None = None


def load_api_settings(project: Path, project_ref: str | None = None) -> ApiSettings:
    """The API settings of a project. Raises ConfigError for an invalid file, or a key of the wrong
    type.
    """
    return _api_settings(load_config(project, project_ref))


def parse_api_settings(text: str, label: str) -> ApiSettings:
    """The API settings in the text of a file. Raises what `load_api_settings` raises."""
    return _api_settings(parse_config(text, label))


def _api_settings(config: ConfigFile) -> ApiSettings:
    default = ApiSettings()
    return ApiSettings(
        schemas=config.names("api", "schemas", default=default.schemas),
        extra_search_path=config.names(
            "api", "extra_search_path", default=default.extra_search_path
        ),
        max_rows=config.number("api", "max_rows", default=default.max_rows),
        auto_expose_new_tables=config.flag("api", "auto_expose_new_tables", default=None),
    )


@dataclass(frozen=True)
class AccessTokenHook:
    """The hook of `[auth.hook.custom_access_token]`, which returns the claims of each token."""

    uri: str

    @property
    def function(self) -> tuple[str, str] | None:
        """Schema and name of the function in the database; None if the hook is a web service."""
        parts = urlsplit(self.uri)
        if parts.scheme.lower() != "pg-functions":
            return None
        schema, _, name = parts.path.strip("/").partition("/")
        return schema, name


@dataclass(frozen=True)
class AuthSettings:
    """The ways to an account, and the hook that changes access tokens (None: not enabled).

    `signing_keys` is the file with the keys that sign access tokens; None if they are signed with
    a secret.
    """

    enable_signup: bool = True
    enable_anonymous_sign_ins: bool = False
    custom_access_token: AccessTokenHook | None = None
    signing_keys: Path | None = None


def load_auth_settings(project: Path, project_ref: str | None = None) -> AuthSettings:
    """The settings `[auth]` of a project. Raises ConfigError for an invalid file, a key of the
    wrong type, or an enabled hook that names no function and no address.
    """
    config = load_config(project, project_ref)
    default = AuthSettings()
    keys = config.text("auth", "signing_keys_path", default=None)
    return AuthSettings(
        enable_signup=config.flag("auth", "enable_signup", default=default.enable_signup),
        enable_anonymous_sign_ins=config.flag(
            "auth", "enable_anonymous_sign_ins", default=default.enable_anonymous_sign_ins
        ),
        custom_access_token=_access_token_hook(config),
        signing_keys=config.path.parent / keys if keys else None,
    )


def _access_token_hook(config: ConfigFile) -> AccessTokenHook | None:
    key = ("auth", "hook", "custom_access_token")
    if not config.flag(*key, "enabled", default=False):
        return None
    hook = AccessTokenHook(config.text(*key, "uri", default=""))
    if urlsplit(hook.uri).scheme.lower() in ("http", "https"):
        return hook
    if hook.function is None or not all(hook.function):
        raise config.error(
            *key,
            "uri",
            problem="names no function and no address",
            hint='Set it to "pg-functions://postgres/SCHEMA/FUNCTION".',
        )
    return hook


def load_major_version(project: Path) -> int | None:
    """`[db] major_version` of a project; None if it is not set. Raises ConfigError as
    `load_api_settings`.
    """
    return load_config(project).number("db", "major_version", default=None)


@dataclass(frozen=True)
class Bucket:
    """A bucket of `[storage.buckets]`."""

    name: str
    public: bool
    allowed_mime_types: tuple[str, ...] | None


def load_buckets(project: Path) -> list[Bucket]:
    """The buckets of `[storage.buckets]`. Raises ConfigError for a list that is none."""
    config = _with_named_buckets(load_config(project))
    return [_bucket(config, name) for name in config.table("storage", "buckets")]


def lists_buckets(project: Path) -> bool:
    """Whether the file has `[[storage.buckets]]`, which version 2 of the Supabase CLI passes over
    and version 3 refuses.
    """
    return isinstance(load_config(project).table("storage").get("buckets"), list)


def _with_named_buckets(config: ConfigFile) -> ConfigFile:
    """The file with each `[[storage.buckets]]` that has a name as `[storage.buckets.NAME]`."""
    storage = config.table("storage")
    listed = storage.get("buckets")
    if not isinstance(listed, list):
        return config
    entries = [entry for entry in listed if isinstance(entry, dict)]
    named = {entry["name"]: entry for entry in entries if isinstance(entry.get("name"), str)}
    return replace(config, document={**config.document, "storage": {**storage, "buckets": named}})


def _bucket(config: ConfigFile, name: str) -> Bucket:
    key = ("storage", "buckets", name)
    types = config.names(*key, "allowed_mime_types")
    return Bucket(name, config.flag(*key, "public", default=False), types or None)


def bucket_names(project: Path) -> list[str]:
    """The buckets of `[storage.buckets]`, which the Supabase CLI creates beside the migrations."""
    return list(_with_named_buckets(load_config(project)).table("storage", "buckets"))


def seed_files(project: Path) -> list[Path]:
    """The files of `[db.seed] sql_paths`, by default supabase/seed.sql, in the order of the paths,
    each once.

    A path can be a pattern. Paths are relative to the folder of config.toml. Raises ConfigError if
    there is no file.
    """
    config = load_config(project)
    patterns = config.names("db", "seed", "sql_paths", default=("./seed.sql",))
    folder = config.path.parent
    found = [sorted(folder.glob(pattern)) for pattern in patterns]
    for pattern, paths in zip(patterns, found, strict=True):
        if not paths:
            raise ConfigError(
                f"no seed file matches {folder / pattern}",
                hint="Create it, name others in [db.seed] sql_paths of supabase/config.toml, or"
                " leave out --seed.",
            )
    return list(dict.fromkeys(chain.from_iterable(found)))


def schema_files(project: Path) -> list[Path]:
    """The files of `[db.migrations] schema_paths`, by default those below supabase/schemas, in the
    order of the paths, each once.
    """
    config = load_config(project)
    patterns = config.names("db", "migrations", "schema_paths")
    folder = config.path.parent
    found = [sorted(folder.glob(pattern)) for pattern in patterns or ("schemas/**/*.sql",)]
    return [path for path in dict.fromkeys(chain.from_iterable(found)) if path.is_file()]
