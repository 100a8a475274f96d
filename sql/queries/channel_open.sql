-- A socket is opened: it is the channel's newest, and the lifetime starts again. Answers the place of that word in the
-- channel's stream.
with live as (
    update tocsin.channel_lifetimes set expires_at = now() + make_interval(secs => lifetime_seconds)
    where channel_id = $1 and expires_at > now()
    returning channel_id
)
insert into tocsin.events (stream, kind, data)
select '$channel/' || channel_id, 'channel.opened', jsonb_build_object('connection', $2::text) from live
returning seq, edited_at
