"""Commands on a database that people use."""
