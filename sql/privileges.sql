-- Loaded last. Nothing here is for everybody: functions are, unless that is taken back. Who has been granted something by
-- name keeps it.
revoke all on schema tocsin from public;
revoke all on all tables in schema tocsin from public;
revoke all on all sequences in schema tocsin from public;
revoke all on all functions in schema tocsin from public;

-- What others than the owner may append to the log, if they have been granted INSERT there, and read, with SELECT.
do $$
begin
    if not exists (select from pg_policy where polrelid = 'tocsin.events'::regclass and polname = 'events_append') then
        create policy events_append on tocsin.events for insert with check (tocsin.is_applications_own(stream, kind));
        create policy events_read on tocsin.events for select using (true);
    end if;
end
$$;
