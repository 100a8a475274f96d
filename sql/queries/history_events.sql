-- What the log says of a subscription ($1): in one stream ($2), or wherever it is.
select stream, seq, kind, edited_at, data
from tocsin.events
where ($2::text is null or stream = $2) and kind like 'subscription.%' and data ->> 'id' = $1
order by seq
