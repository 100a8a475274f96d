-- Whether a channel lives, which it then does until we have committed, and how many subscriptions it has.
select l.expires_at > now() as live,
       (select count(*) from tocsin.subscriptions s where s.channel_id = l.channel_id) as subscriptions
from tocsin.channel_lifetimes l where l.channel_id = $1 for key share of l
