-- What happens to an event on its way into the log.
create or replace trigger events_stamp before insert on tocsin.events
    for each row execute function tocsin.stamp();
create or replace trigger events_ring after insert on tocsin.events
    referencing new table as inserted
    for each statement execute function tocsin.ring();
create or replace trigger events_guard before update or delete or truncate on tocsin.events
    for each statement execute function tocsin.refuse_change();

-- CREATE OR REPLACE does not know constraint triggers.
do $$
begin
    if not exists (select from pg_trigger where tgname = 'streams_settle' and tgrelid = 'tocsin.streams'::regclass) then
        create constraint trigger streams_settle after update on tocsin.streams
            deferrable initially deferred
            for each row when (new.open) execute function tocsin.settle();
    end if;
end
$$;
