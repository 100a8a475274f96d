-- Where listening to a stream ($1) begins: 'latest', 'all', 'at' a moment ($3) or so many seconds ago ($4), or after an 'id' ($5).
select next_seq, next_at, reset
from tocsin.listen_from($1, $2, coalesce($3::timestamptz, now() - make_interval(secs => $4::double precision)), $5)
