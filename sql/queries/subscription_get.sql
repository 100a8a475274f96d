-- Live subscriptions: of a stream ($1), by id ($2). A cursor of an older generation is void: the
-- subscription starts where the event that made the newer one said.
select s.id, s.stream, s.channel_id, n.settings ->> 'notifyUrl' as notify_url, s.callback_data, s.format, s.filter, s.attributes,
       s.client_correlator, s.subscriber,
       s.expires_at, ceil(extract(epoch from s.expires_at - now()))::bigint as remaining_seconds,
       s.generation,
       coalesce(c.next_seq, s.start_seq) as next_seq,
       coalesce(c.next_at, s.start_at) as next_at,
       coalesce(c.next_index, s.start_index) as next_index,
       c.source_id is null and s.start_reset as reset
from tocsin.subscriptions s
join tocsin.channels n on n.id = s.channel_id
left join tocsin.cursors c on c.source_id = s.id and c.generation = s.generation
where s.expires_at > now()
  and exists (select from tocsin.channel_lifetimes l where l.channel_id = s.channel_id and l.expires_at > now())
  and ($1::text is null or s.stream = $1)
  and ($2::text is null or s.id = $2)
order by s.created_seq, s.id
