-- The tail: every event that became visible since a snapshot ($1 its xmax, $2 the transactions it saw running), and
-- the snapshot this statement itself reads under, which is where the next read goes on. The first row is there even
-- when there is no event. Sorted, so that within a stream order holds.
select pg_current_snapshot()::text as snapshot, e.stream, e.seq, e.kind, e.object_id, e.edited_at, e.data
from (select 1) as always
left join (
    select * from tocsin.events where xid >= $1::text::xid8 or xid = any ($2::text::xid8[])
) as e on true
order by e.stream, e.seq
