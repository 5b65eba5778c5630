-- $1 guest_days, $2 days
-- Count the guests that delete_guests.sql would delete after delete_jobs.sql.
select private.count_inactive_guests($1::pg_catalog.int4, $2::pg_catalog.int4) as total
