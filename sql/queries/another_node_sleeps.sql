-- Whether, at one instant, another session held the doorbell's key exclusively while we ($1) stood in the queue for it.
with key as materialized (
    select pid, mode, granted from pg_locks
    where locktype = 'advisory' and classid = 1953456499 and objid = 1 and objsubid = 2
      and database = (select oid from pg_database where datname = current_database())
)
select exists (select from key where mode = 'ExclusiveLock' and granted and pid <> $1)
   and exists (select from key where pid = $1 and not granted)
