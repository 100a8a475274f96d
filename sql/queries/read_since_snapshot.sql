-- The tail: every event that became visible since a snapshot ($1 its xmax, $2 the transactions it saw running), and
-- the snapshot this statement itself reads under, which is where the next read goes on. The first row is there even
-- when there is no event. Sorted, so that within a stream order holds. Partitions whose seal was seen by then ($3: where
-- they end) have nothing new. With $4, streams whose place is not set there are left out (src/log/interest.rs), but for
-- what concerns subscriptions, whose channels follow another stream.
select pg_current_snapshot()::text as snapshot, e.stream, e.seq, e.kind, e.object_id, e.edited_at, e.data,
       (select coalesce(max(upto), '-infinity') from tocsin.sealed)::text as sealed
from (select 1) as always
left join (
    select * from tocsin.events
    where (xid >= $1::text::xid8 or xid = any ($2::text::xid8[])) and created_at >= $3::text::timestamptz
      and ($4::bytea is null
           or get_bit($4, ('x' || left(encode(sha256(convert_to(stream, 'UTF8')), 'hex'), 4))::bit(16)::integer) = 1
           or kind in ('subscription.created', 'subscription.updated', 'subscription.repositioned',
                       'subscription.deleted', 'subscription.expired'))
) as e on true
order by e.stream, e.seq
