-- What is known of delivery to a subscription ($1), beside its cursor.
select c.confirmed_at,
       t.next_seq as sent_seq, t.sent_at,
       p.answered_seq, p.answered_at, p.lost,
       n.settings ->> 'type' as channel_type, n.user_id,
       n.disabled_at, n.disabled_why,
       f.failing_since, f.attempts, f.last_error
from tocsin.subscriptions s
join tocsin.channels n on n.id = s.channel_id
left join tocsin.cursors c on c.source_id = s.id and c.generation = s.generation
left join tocsin.sent t on t.source_id = s.id and t.generation = s.generation
left join tocsin.senders f on f.channel_id = s.channel_id
left join lateral (
    select position.seq as answered_seq, l.answered_at, l.lost
    from tocsin.polls l, jsonb_to_recordset(l.sent) as position (source text, generation bigint, seq bigint)
    where l.channel_id = s.channel_id and position.source = s.id and position.generation = s.generation
) as p on true
where s.id = $1
