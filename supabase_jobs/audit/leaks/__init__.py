"""Leaks: what the outcomes of probes show without any expectation."""
