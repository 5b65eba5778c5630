"""Reads the uses of columns in policies and functions, with one module for each subject."""
