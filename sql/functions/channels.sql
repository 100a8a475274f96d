-- A channel and its lifetime. A client that lost the answer asks again with the same clientCorrelator and gets the
-- channel that is there, its lifetime started anew (spec/common 5). The creates of one user wait for each other, on
-- whatever node, so that two which race make one channel, and the limit holds.
--
-- outcome: 'created'; 'there', it was made before; 'other', a different channel has the clientCorrelator; 'full', the
-- user has as many channels as may be.
create or replace function tocsin.create_channel(
    new_id text, of_user text, of_settings jsonb, of_format text, correlator text, tag text,
    seconds bigint, most bigint, out outcome text, out channel_id text, out expires_at timestamptz)
language plpgsql as $$
declare
    same boolean;
begin
    perform pg_advisory_xact_lock(hashtextextended('tocsin.create_channel ' || of_user, 0));
    select c.id, (c.settings, c.format, c.application_tag) is not distinct from (of_settings, of_format, tag)
    into channel_id, same
    from tocsin.channels c join tocsin.channel_lifetimes l on l.channel_id = c.id
    where c.user_id = of_user and c.client_correlator = correlator and l.expires_at > now();
    if found then
        outcome := case when same then 'there' else 'other' end;
        update tocsin.channel_lifetimes l set lifetime_seconds = seconds, expires_at = now() + make_interval(secs => seconds)
        where same and l.channel_id = create_channel.channel_id
        returning l.expires_at into expires_at;
        return;
    end if;
    if (select count(*) from tocsin.channels c join tocsin.channel_lifetimes l on l.channel_id = c.id
        where c.user_id = of_user and l.expires_at > now()) >= most then
        outcome := 'full';
        return;
    end if;
    outcome := 'created';
    channel_id := new_id;
    expires_at := now() + make_interval(secs => seconds);
    insert into tocsin.events (stream, kind, data)
    values ('$channel/' || new_id, 'channel.created', jsonb_strip_nulls(jsonb_build_object(
        'id', new_id, 'user', of_user, 'settings', of_settings, 'format', of_format,
        'clientCorrelator', correlator, 'applicationTag', tag)));
    insert into tocsin.channel_lifetimes (channel_id, lifetime_seconds, expires_at) values (new_id, seconds, expires_at);
end
$$;
