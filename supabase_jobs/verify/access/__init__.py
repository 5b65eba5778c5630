"""The access matrix: who may do what to whose rows."""

AREA = "access"
