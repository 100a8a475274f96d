-- An attempt succeeded after failures.
update tocsin.senders set failing_since = null, attempts = 0, last_error = null, retry_at = null where channel_id = $1
