"""What the texts of policies, constraints and functions mention; nothing is judged by them."""
