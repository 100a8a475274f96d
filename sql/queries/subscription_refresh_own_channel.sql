-- The channel that a subscription ($1) has of its own, if it has one, lives on with it for $2 seconds.
update tocsin.channel_lifetimes
set lifetime_seconds = $2::bigint, expires_at = now() + make_interval(secs => $2::bigint)
where expires_at > now()
  and channel_id = (select s.channel_id from tocsin.subscriptions s join tocsin.channels n on n.id = s.channel_id
                    where s.id = $1 and n.settings ->> 'type' = 'NotifyUrl')
