-- Renews the leases of a node; those it no longer has are not answered. A sender whose next attempt is due need not wait for it.
update tocsin.senders set lease_until = now() + make_interval(secs => $3::bigint)
where channel_id = any ($2) and node = $1
returning channel_id, coalesce(retry_at <= now(), false)
