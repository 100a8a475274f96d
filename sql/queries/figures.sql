-- What /metrics tells of the database, each of it by one look at an index or a row.
select pg_snapshot_xmin(s)::text::bigint as oldest,
       pg_snapshot_xmax(s)::text::bigint as next,
       greatest((select case when is_called then last_value else 0 end from tocsin.object_ids)
                - (select watermark from tocsin.terms_progress), 0) as terms_waiting,
       (select count(*) from (select from tocsin.deferred limit 100000) d) as deferred_waiting,
       coalesce(extract(epoch from now() - (select min(due_at) from tocsin.deferred)), 0)::float8 as deferred_late
from pg_current_snapshot() s
