"""A project on a database of the embedded server: from its migrations, or copied from a database."""
