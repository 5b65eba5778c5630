"""What is done with a database after its migrations: cleaning up, handing jobs over, looking at how it is.

The statements stand in `sql/`, and only they know the tables.
"""
