-- Starts a live channel's lifetime again: with $2 seconds, or with what was granted last.
update tocsin.channel_lifetimes
set lifetime_seconds = coalesce($2::bigint, lifetime_seconds),
    expires_at = now() + make_interval(secs => coalesce($2::bigint, lifetime_seconds))
where channel_id = $1 and expires_at > now()
returning lifetime_seconds
