-- Whether a restartToken ($2) leads to where a subscription ($1) starts anyway.
select start_seq = tocsin.start_after(stream, $2) + 1 and not start_reset and $2 <= now()
from tocsin.subscriptions where id = $1
