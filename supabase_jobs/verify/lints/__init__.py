"""Lints: one SQL file per rule."""
