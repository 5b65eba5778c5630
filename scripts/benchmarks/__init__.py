"""What `scripts/bench` measures: a module a subject, each a function from a databases (see databases.py) to figures."""
