-- Where delivery of a channel's own callbacks stands: at first after channel.created, always the first of its stream.
select coalesce(c.next_seq, 2) as next_seq, coalesce(c.next_at, n.created_at) as next_at,
       coalesce(c.next_index, 1) as next_index
from tocsin.channels n left join tocsin.cursors c on c.source_id = n.id
where n.id = $1
