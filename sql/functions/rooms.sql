-- Rooms: what is published to the stream `$room/name` reaches those who listen there. A message for somebody is in their
-- inboxes too, and only they are told of it in the room. With the rights of the schema's owner, as tocsin.publish.
create or replace function tocsin.publish_to_room(
    room text, source text default null, source_display_name text default null, category text default null,
    action text default null, obj text default null, url text default null, short_description text default null,
    silent boolean default false, extra_data jsonb default null, author text default null,
    recipients text[] default null, channels text[] default null,
    deliver_at timestamptz default null, condition jsonb default null, owner text default null)
returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    message jsonb := jsonb_strip_nulls(jsonb_build_object(
        'room', room, 'source', source, 'source_display_name', source_display_name, 'category', category,
        'action', action, 'obj', obj, 'url', url, 'short_description', short_description,
        'silent', nullif(silent, false), 'author', author, 'recipients', nullif(to_jsonb(recipients), '[]')))
        || case when extra_data is null then '{}' else jsonb_build_object('extra_data', extra_data) end;
    message_id bigint;
    at         timestamptz;
begin
    perform tocsin.check_text('extra_data', extra_data::text, 32768), tocsin.check_text('short_description', short_description, 512),
            tocsin.check_text('author', author, 255), tocsin.check_channels(channels);
    perform tocsin.check_text(part, value, 2048)
    from (values ('source', source), ('source_display_name', source_display_name), ('category', category),
                 ('action', action), ('obj', obj), ('url', url)) as given (part, value);
    if deliver_at is not null or condition is not null then
        return tocsin.defer('room', message || case when channels is null then '{}' else jsonb_build_object('channels', channels) end,
                            coalesce(deliver_at, now()), condition, coalesce(owner, author));
    end if;
    insert into tocsin.events (stream, kind, data) values ('$room/' || room, 'room.published', message)
    returning object_id, edited_at into message_id, at;
    if cardinality(recipients) > 0 then
        perform tocsin.notify_users(
            array(select distinct r from unnest(recipients) as r),
            jsonb_build_object('id', message_id, 'timestamp', tocsin.moment(at), 'author', author,
                               'type', tocsin.event_type('room'), 'title', coalesce(short_description, ''),
                               'message', '', 'data', message - 'recipients'),
            channels, silent);
    end if;
    return message_id;
end
$$;
