-- How many transactions wait to NOTIFY: the lock they queue on, held until the WAL is flushed, is object 0 of
-- pg_database.
select count(*) from pg_locks
where locktype = 'object' and classid = 1262 and objid = 0 and objsubid = 0 and not granted
