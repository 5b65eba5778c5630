"""Explanations of an audit: a finding as SQL for psql, and a cell of the matrix by its policies."""
