-- The role tocsin_writer, which may write and read messages, publish, and append an application's own events: what
-- docs/SQL.md promises to those who write with SQL, and nothing else. Roles belong to the whole cluster, and the server's
-- own may not make any: so it is made by whoever runs the cluster, and the server grants it its rights when it is there.

-- Whether others than the owner may append such an event: to a box, and of a kind that is the application's own. (What
-- the log and the watched tables say has kinds that begin with these words.)
create or replace function tocsin.is_applications_own(stream text, kind text) returns boolean language sql immutable
return stream not like '$%' and split_part(kind, '.', 1) <> all (
    '{object,folder,box,subscription,channel,inbox,notification,room,deferred,row,table}'::text[]);

-- Gives tocsin_writer, if there is such a role, the rights that it does not have yet; answers whether it got any.
create or replace function tocsin.grant_to_writer() returns boolean language plpgsql as $$
declare
    writer  oid := to_regrole('tocsin_writer');
    callees regprocedure[] := array(
        select p.oid from pg_proc p
        where p.pronamespace = 'tocsin'::regnamespace
          and p.proname in ('publish', 'publish_to_room', -- and what stands in the view tocsin.messages and its rules:
                            'message_data', 'unusual_message', 'first_value', 'texts', 'folder_path', 'is_applications_own'));
    callee  regprocedure;
begin
    if writer is null
       or has_schema_privilege(writer, 'tocsin', 'usage')
          and has_table_privilege(writer, 'tocsin.messages', 'select')
          and has_table_privilege(writer, 'tocsin.messages', 'insert')
          and has_table_privilege(writer, 'tocsin.messages', 'update')
          and has_table_privilege(writer, 'tocsin.messages', 'delete')
          and has_column_privilege(writer, 'tocsin.events', 'data', 'insert')
          and (select bool_and(has_function_privilege(writer, f, 'execute')) from unnest(callees) as f) then
        return false;
    end if;
    grant usage on schema tocsin to tocsin_writer;
    grant select, insert, update, delete on tocsin.messages to tocsin_writer;
    grant insert (stream, kind, data) on tocsin.events to tocsin_writer;
    foreach callee in array callees loop
        execute format('grant execute on function %s to tocsin_writer', callee);
    end loop;
    return true;
end
$$;
