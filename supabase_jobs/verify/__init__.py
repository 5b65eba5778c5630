"""Prove on a live database that what the migrations promise holds there."""
