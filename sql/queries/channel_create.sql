-- A channel and its lifetime; refused (no row) when the user has $8 channels already. ($9 is null for types without.)
with allowed as (
    select 1 where (
        select count(*) from tocsin.channels c join tocsin.channel_lifetimes l on l.channel_id = c.id
        where c.user_id = $2 and l.expires_at > now()) < $8::bigint
), event as (
    insert into tocsin.events (stream, kind, data)
    select '$channel/' || $1::text, 'channel.created', jsonb_strip_nulls(jsonb_build_object(
        'id', $1::text, 'user', $2::text, 'type', $3::text, 'maxNotifications', $4::bigint,
        'maxWaitTime', $9::bigint,
        'clientCorrelator', $5::text, 'applicationTag', $6::text))
    from allowed
    returning 1
)
insert into tocsin.channel_lifetimes (channel_id, lifetime_seconds, expires_at)
select $1, $7::bigint, now() + make_interval(secs => $7::bigint) from event
returning expires_at
