"""The names of the areas of `verify`, in the order they run.

The fastest is first, because `mutate` stops at the first area with an error. `access` runs before
the areas that make request settings, because one of its identities has none.
"""

STRUCTURE, ACCESS, FUNCTIONS, PLANS = AREAS = ("structure", "access", "functions", "plans")
