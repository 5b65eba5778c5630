"""Findings get a cause and a repair: candidates are tried on the copy, and only proven ones are
printed as SQL.
"""
