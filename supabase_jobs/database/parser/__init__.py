"""SQL text: statements and parse trees. Knows no database."""
