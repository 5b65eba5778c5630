-- Stands in for the extension pg_repack, which this installation of PostgreSQL lacks: nothing is repacked.
select 1;
