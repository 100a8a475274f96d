-- Events of one stream from a seq on, in order.
select stream, seq, kind, object_id, edited_at, data
from tocsin.events
where stream = $1 and seq >= $2
order by seq
limit $3
