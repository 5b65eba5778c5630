"""The facts that kinds of leak are found in: values without a database, read by audit/reading."""
