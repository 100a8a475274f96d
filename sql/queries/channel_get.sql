-- Live channels: of a user ($1), or one by id ($2).
select c.id, c.user_id, c.settings, c.format, c.client_correlator, c.application_tag, c.disabled_at, c.disabled_why,
       l.lifetime_seconds, l.expires_at,
       ceil(extract(epoch from l.expires_at - now()))::bigint as remaining_seconds
from tocsin.channels c join tocsin.channel_lifetimes l on l.channel_id = c.id
where l.expires_at > now() and ($1::text is null or c.user_id = $1) and ($2::text is null or c.id = $2)
order by c.created_at, c.id
