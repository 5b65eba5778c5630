"""Query plans: each fast query can use its index, and policies evaluate the owner check once per
query.
"""

AREA = "plans"
