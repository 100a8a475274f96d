-- Whether a restartToken ($2) leads to where a subscription ($1) starts anyway.
select start_seq = tocsin.start_after(stream, $2) + 1 and not start_reset and $2 between base_at and now()
from tocsin.subscriptions join tocsin.streams using (stream) where id = $1
