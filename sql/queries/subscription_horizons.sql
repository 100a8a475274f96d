-- What the log says of cursors' streams: for each, the head, the base, and the moment of the event before the cursor.
select s.head_seq, s.head_at, s.base_seq,
       (select e.edited_at from tocsin.events e where e.stream = h.stream and e.seq = h.seq) as at_cursor
from unnest($1::text[], $2::bigint[]) with ordinality as h (stream, seq, n)
left join tocsin.streams s on s.stream = h.stream
order by h.n
