"""One module for each report format: its function `write` turns a Document into text."""
