"""A project on the embedded server: from its migrations, or copied from a database."""
