-- Locks a stream, if it exists, and tells where it stands.
select head_seq, head_at, nullif(base_at, '-infinity') from tocsin.streams where stream = $1 for update
