-- What the log says of cursors' streams: for each, the head, the base, and the moment of the event before the cursor, if
-- that is the moment ($3) that the cursor says: only where such an event can be it is looked for.
with h as materialized (
    select c.*, (select coalesce(max(upto), '-infinity') from tocsin.sealed where newest < c.at) as since
    from unnest($1::text[], $2::bigint[], $3::timestamptz[]) with ordinality as c (stream, seq, at, n)
)
select s.head_seq, s.head_at, s.base_seq,
       (select e.edited_at from tocsin.events e
        where e.stream = h.stream and e.seq = h.seq
          and e.created_at >= h.since and e.created_at <= h.at + interval '1 day') as at_cursor
from h left join tocsin.streams s on s.stream = h.stream
order by h.n
