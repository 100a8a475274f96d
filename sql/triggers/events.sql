-- What happens to an event on its way into the log.
create or replace trigger events_stamp before insert on tocsin.events
    for each row execute function tocsin.stamp();
create or replace trigger events_guard before update or delete or truncate on tocsin.events
    for each statement execute function tocsin.refuse_change();

-- (OF open spares all other updates the condition, which each statement parses anew.) CREATE OR REPLACE does not know
-- constraint triggers.
do $$
begin
    if not exists (select from pg_trigger
                   where tgname = 'streams_settle' and tgrelid = 'tocsin.streams'::regclass and tgattr <> '') then
        drop trigger if exists streams_settle on tocsin.streams;
        create constraint trigger streams_settle after update of open on tocsin.streams
            deferrable initially deferred
            for each row when (new.open) execute function tocsin.settle();
    end if;
end
$$;
