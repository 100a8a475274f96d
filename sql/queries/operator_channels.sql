-- Channels in the order of their ids, after one of them; those of a user.
select c.id, c.user_id, c.settings, c.created_at, c.disabled_at, c.disabled_why, l.expires_at,
       (select count(*) from (select from tocsin.subscriptions s where s.channel_id = c.id limit 1001) counted) as subscriptions
from tocsin.channels c
join tocsin.channel_lifetimes l on l.channel_id = c.id
where c.id > $1 and ($2::text is null or c.user_id = $2) and l.expires_at > now()
order by c.id
limit $3
