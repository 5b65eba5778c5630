"""The signing keys of a project: those of `[auth] signing_keys_path`."""

from pathlib import Path

from supabase_jobs.api.signing import SigningKey, load_signing_keys
from supabase_jobs.sources.config_toml import load_auth_settings


def project_signing_keys(project: Path) -> tuple[SigningKey, ...]:
    """The keys; none if the project names no file. Raises ConfigError for an unusable file."""
    path = load_auth_settings(project).signing_keys
    return () if path is None else load_signing_keys(path)
