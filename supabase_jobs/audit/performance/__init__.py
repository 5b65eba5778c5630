"""The performance of a project's policies and indexes: suggestions, each tried in the copy."""
