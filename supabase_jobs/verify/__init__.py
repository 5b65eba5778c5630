"""Prove on a live database that what the migrations expectations holds there."""
