"""Try what requests can reach through functions that run as their owner, through the triggers and
rules of user tables, and through tables and views that they can read.

Guests and users make jobs first, which finish, fail, are cancelled and deleted, scheduled jobs run,
and Auth calls its hooks. Then each function is called with arguments that mean another user, its
job, a secret or a file; rows with such values are written to each table, and read again, changed
and deleted. What reads a table that users write, a function or a scheduled job, runs after they
have written. A commit's checks end each of these. What can be read must not show jobs of others,
wherever triggers have copied them. A change of another user or its jobs, or an answer that contains
a secret or an address, is an error, whatever the text says. Nothing is called that acts outside of
its transaction or takes locks on tables, as far as its text shows. What it calls may do that, read
all rows, lock rows or take numbers from sequences, so this happens on an embedded server only.
"""
