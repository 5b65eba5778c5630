"""Scenarios of functions, triggers and cascades, judged by the rows that change."""

AREA = "functions"
