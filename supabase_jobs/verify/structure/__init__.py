"""The catalogs, compared with a recorded snapshot."""

AREA = "structure"
