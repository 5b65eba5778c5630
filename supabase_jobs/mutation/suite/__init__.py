"""Mutation testing of a project's own test suite: one fault in each copy of a database, and one run
of the suite.
"""
