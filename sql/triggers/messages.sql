-- Writing to the view tocsin.messages.

-- An INSERT becomes one into the log: each row an event of its box. A rule, since it is rewritten before it runs and costs
-- next to nothing then, where a trigger is a statement of its own for each row. The subquery sees to it that what the
-- writer gives is evaluated once, be it `random()`: one with anything volatile in it is not taken apart.
create or replace rule messages_insert as on insert to tocsin.messages do instead
    insert into tocsin.events (stream, kind, data)
    select coalesce(m.store, 'default') || '/' || m.box_id,
           'object.created',
           case when m.box_id is not null and m.sender is not null and m.recipient is not null and m.body is not null
                     and m.id is null and m.attributes is null and m.flags is null and m.folder is null
                     and m.correlation_id is null and m.correlation_tag is null
                then tocsin.message_data(m.box_id, m.sender, m.recipient, m.body, m.direction)
                else tocsin.unusual_message(
                    m.store, m.box_id, m.id, m.sender, m.recipient, m.body, m.direction, m.flags, m.attributes, m.folder,
                    m.correlation_id, m.correlation_tag) end
    from lateral (select new.*) as m
    returning split_part(stream, '/', 1),
              split_part(stream, '/', 2),
              object_id,
              tocsin.first_value(data -> 'attributes' -> 'From'),
              tocsin.first_value(data -> 'attributes' -> 'To'),
              tocsin.first_value(data -> 'attributes' -> 'TextContent'),
              tocsin.first_value(data -> 'attributes' -> 'Direction'),
              case when data ? 'flags' then tocsin.texts(data -> 'flags') else '{}' end,
              data -> 'attributes',
              coalesce(data ->> 'path', '/'),
              data ->> 'correlationId',
              data ->> 'correlationTag',
              edited_at,
              edited_at,
              seq;
create or replace trigger messages_insert instead of insert on tocsin.messages
    for each row execute function tocsin.messages_insert();
create or replace trigger messages_update instead of update on tocsin.messages
    for each row execute function tocsin.messages_update();
create or replace trigger messages_delete instead of delete on tocsin.messages
    for each row execute function tocsin.messages_delete();
