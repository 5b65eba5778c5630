"""Intended bypasses and privileges of a project, with the definitions that were
reviewed.
"""
