-- What is sent to, in the order of the channels' ids, after one of them: all, or what fails. What waits is what came since
-- the cursors of its subscriptions, or of its inbox, of which it may not want all, and what enablers have posted.
select s.channel_id, c.user_id, c.settings, s.failing_since, s.attempts, s.last_error, s.retry_at, c.disabled_at,
       case when s.lease_until > now() then s.node end as node,
       (select coalesce(sum(greatest(t.head_seq + 1 - coalesce(p.next_seq, u.start_seq), 0)), 0)::bigint
        from tocsin.subscriptions u
        join tocsin.streams t on t.stream = u.stream
        left join tocsin.cursors p on p.source_id = u.id and p.generation = u.generation
        where u.channel_id = s.channel_id)
       + (select count(*) from (
            select from tocsin.events e
            where e.stream = '$channel/' || s.channel_id and e.kind = 'channel.notified'
              and e.seq >= coalesce((select p.next_seq from tocsin.cursors p where p.source_id = s.channel_id), 2)
            limit 1001) posted)
       + coalesce((
            select greatest(t.head_seq + 1 - coalesce(
                (select p.next_seq from tocsin.cursors p where p.source_id = s.channel_id), (c.settings ->> 'from')::bigint + 1), 0)
            from tocsin.streams t where c.settings ->> 'type' = 'Inbox' and t.stream = c.user_id), 0) as waiting
from tocsin.senders s
join tocsin.channels c on c.id = s.channel_id
join tocsin.channel_lifetimes l on l.channel_id = s.channel_id
where s.channel_id > $1 and ($2 or s.failing_since is not null) and l.expires_at > now()
order by s.channel_id
limit $3
