-- Everything that a channel ($1) delivers from, and what the log says of each cursor: the head of its stream, its base, and
-- the moment of the event before the cursor, if that is the moment that the cursor says. First the channel itself: its
-- callbacks begin after channel.created, always the first of its stream; one that brings an inbox to its user delivers
-- that instead. Then its live subscriptions, oldest first; as in subscription_get.sql, a cursor of an older generation is
-- void.
with sources as (
    select null as id,
           case n.settings ->> 'type' when 'Inbox' then n.user_id else '$channel/' || n.id end as stream, n.id as channel_id, null as notify_url, null as callback_data,
           n.format, null::jsonb as filter, false as attributes, null as client_correlator, null as subscriber,
           now() as expires_at, 0::bigint as remaining_seconds, 1::bigint as generation,
           coalesce(c.next_seq, (n.settings ->> 'from')::bigint + 1, 2) as next_seq,
           coalesce(c.next_at, (n.settings ->> 'at')::timestamptz, n.created_at) as next_at,
           coalesce(c.next_index, 1) as next_index, false as reset, 0::bigint as created_seq
    from tocsin.channels n left join tocsin.cursors c on c.source_id = n.id
    where n.id = $1
    union all
    select s.id, s.stream, s.channel_id, n.settings ->> 'notifyUrl', s.callback_data,
           s.format, s.filter, s.attributes, s.client_correlator, s.subscriber,
           s.expires_at, ceil(extract(epoch from s.expires_at - now()))::bigint, s.generation,
           coalesce(c.next_seq, s.start_seq), coalesce(c.next_at, s.start_at),
           coalesce(c.next_index, s.start_index), c.source_id is null and s.start_reset, s.created_seq
    from tocsin.subscriptions s
    join tocsin.channels n on n.id = s.channel_id
    left join tocsin.cursors c on c.source_id = s.id and c.generation = s.generation
    where s.channel_id = $1 and s.expires_at > now()
      and exists (select from tocsin.channel_lifetimes l where l.channel_id = $1 and l.expires_at > now())
)
select x.*, h.head_seq, h.head_at, h.base_seq,
       (select e.edited_at from tocsin.events e
        where e.stream = x.stream and e.seq = x.next_seq - 1
          and e.created_at >= (select coalesce(max(upto), '-infinity') from tocsin.sealed where newest < x.next_at)
          and e.created_at <= x.next_at + interval '1 day') as at_cursor
from sources x left join tocsin.streams h on h.stream = x.stream
order by x.id is not null, x.created_seq, x.id
