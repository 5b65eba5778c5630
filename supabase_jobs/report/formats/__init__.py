"""One module for each report format: its function `write` turns a Document into text.

A new module here is a format of all commands with reports: `report.FORMATS` lists the folder.
"""
