-- Subscriptions in the order of their ids, after one of them; those to a box. What is behind the cursor may not be wanted.
select s.id, s.stream, s.channel_id, s.subscriber, s.expires_at, c.confirmed_at,
       coalesce(c.next_index, s.start_index) as next_index,
       greatest(t.head_seq + 1 - coalesce(c.next_seq, s.start_seq), 0) as behind
from tocsin.subscriptions s
join tocsin.streams t on t.stream = s.stream
left join tocsin.cursors c on c.source_id = s.id and c.generation = s.generation
where s.id > $1 and ($2::text is null or s.stream = $2) and s.expires_at > now()
order by s.id
limit $3
