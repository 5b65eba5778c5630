"""The columns, values and states that texts of policies, constraints and functions mention."""
