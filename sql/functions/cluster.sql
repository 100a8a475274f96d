-- Transaction ids mean nothing in another cluster. When the log has moved (a restored dump, say), the ids it brought
-- along may be ahead of this cluster's: a tail would return those events again and again, and a stream could take a
-- running transaction for the one that wrote last. They are reset once, before anything tails; nothing else of the
-- log changes, and restartTokens are timestamps, which survive the move.
create or replace function tocsin.adopt_cluster() returns boolean language plpgsql as $$
declare
    here      bigint := (select system_identifier from pg_control_system());
    before    bigint;
    partition regclass;
begin
    insert into tocsin.cluster (system_identifier) values (here) on conflict do nothing;
    select system_identifier into before from tocsin.cluster for update;
    if before = here then
        return false;
    end if;
    for partition in select inhrelid::regclass from pg_inherits where inhparent = 'tocsin.events'::regclass loop
        -- The guard of one partition at a time steps aside, in this transaction only.
        execute format('alter table %s disable trigger events_guard', partition);
        execute format('update %s set xid = ''1'' where xid >= pg_snapshot_xmin(pg_current_snapshot())', partition);
        execute format('alter table %s enable trigger events_guard', partition);
    end loop;
    update tocsin.streams set last_xid = '1' where last_xid >= pg_snapshot_xmin(pg_current_snapshot());
    update tocsin.cluster set system_identifier = here;
    return true;
end
$$;
