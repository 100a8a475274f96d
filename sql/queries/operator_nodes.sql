-- The nodes: each follows the log on a connection that says which node it is (`Database::of_node`), and has or awaits the
-- doorbell's key on another while it sleeps. One that holds leases and has no such connection is lost; others take over when
-- they run out. Leases are counted up to 1001.
with recursive followers as (
    select distinct on (split_part(application_name, ' ', 3))
           split_part(application_name, ' ', 3) as id, split_part(application_name, ' ', 4) as version,
           split_part(application_name, ' ', 5) as address, backend_start
    from pg_stat_activity
    where datname = current_database() and application_name like 'tocsin tail %'
    order by 1, backend_start desc
), sleepers as (
    select split_part(a.application_name, ' ', 3) as id
    from pg_stat_activity a
    where a.datname = current_database() and a.application_name like 'tocsin keys %'
      and exists (select from pg_locks l
                  where l.pid = a.pid and l.locktype = 'advisory' and l.classid = 1953456499 and l.objid = 1)
), holders as (
    -- One look at the index for each node that is named there.
    (select min(node) as id from tocsin.senders)
    union all
    select (select min(s.node) from tocsin.senders s where s.node > h.id) from holders h where h.id is not null
), nodes as (
    select f.*, true as connected from followers f
    union all
    select h.id, null, null, null, false from holders h
    where h.id is not null and h.id not in (select id from followers)
)
select n.id, n.version, n.address, n.backend_start as since, n.connected, n.id in (select id from sleepers) as asleep, l.leases
from nodes n
cross join lateral (
    select count(*) as leases
    from (select from tocsin.senders s
          where s.node between n.id and n.id and s.lease_until > now() order by s.node limit 1001) counted) l -- by the index
where n.connected or l.leases > 0
order by n.backend_start, n.id
