"""What `scripts/bench` measures: a module a subject, each a function from a world (see world.py) to figures."""
