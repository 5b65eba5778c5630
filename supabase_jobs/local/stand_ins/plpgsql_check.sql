-- Stands in for the extension plpgsql_check, which this installation of PostgreSQL lacks: nothing is checked.
select 1;
