"""The area `structure`: the system catalogs compared with the recorded structure."""

AREA = "structure"
