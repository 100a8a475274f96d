-- The live subscription of a box ($1) that the same client made with this clientCorrelator ($2): one that delivers to
-- the same channel ($3) or to the same URL ($4), by the same user ($5), when users are told apart.
select s.id
from tocsin.subscriptions s
join tocsin.channels n on n.id = s.channel_id
join tocsin.channel_lifetimes l on l.channel_id = s.channel_id
where s.stream = $1 and s.client_correlator = $2 and (s.channel_id = $3 or n.settings ->> 'notifyUrl' = $4)
  and s.subscriber is not distinct from $5 and s.expires_at > now() and l.expires_at > now()
order by s.created_seq
limit 1
