"""Query plans: each fast query can use its index, and policies ask for the owner once per query."""

AREA = "plans"
