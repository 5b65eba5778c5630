"""Generated suites: the access that an audit has found, as pgTAP files or as modules for the pytest
plugin.
"""
