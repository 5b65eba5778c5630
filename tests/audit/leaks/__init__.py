"""The kinds of leak, without a database: each has a table of facts, STEM.toml."""
