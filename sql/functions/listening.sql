-- Where somebody begins to listen to a stream: after all there is ('latest'), with all that is kept ('all'), after a moment
-- ('at'), or after the message with an id ('id'). `reset`: what was asked for is no longer kept.
create or replace function tocsin.listen_from(
    of_stream text, since text, at timestamptz, id bigint, out next_seq bigint, out next_at timestamptz, out reset boolean)
language plpgsql as $$
declare
    s     tocsin.streams;
    after bigint;
begin
    select * into s from tocsin.streams where stream = of_stream;
    if not found then
        next_seq := 1;
        next_at := 'epoch';
        reset := false;
        return;
    end if;
    after := case since
        when 'latest' then s.head_seq
        when 'all' then s.base_seq
        when 'at' then tocsin.seq_at(of_stream, at)
        when 'id' then coalesce(tocsin.seq_of(of_stream, id), s.base_seq)
    end;
    after := greatest(after, s.base_seq);
    reset := s.base_seq > 0 and after = s.base_seq and (since = 'id' or since = 'at' and at < s.base_at);
    next_seq := after + 1;
    select e.edited_at into next_at from tocsin.events e where e.stream = of_stream and e.seq = after;
    next_at := coalesce(next_at, case when s.base_seq > 0 then s.base_at end, 'epoch');
end
$$;

-- The seq at which a stream had the message with an id, or the newest one before it, if there is one. Ids rise with seq: in
-- a room, of all events; in an inbox, of those that made a notification.
create or replace function tocsin.seq_of(of_stream text, message bigint) returns bigint language plpgsql stable as $$
declare
    low  bigint;
    high bigint;
    mid  bigint;
    here bigint;
begin
    if of_stream like '$inbox/%' then
        return (select n.seq from tocsin.notifications n where n.user_id = substr(of_stream, 8) and n.id <= message
                order by n.id desc limit 1);
    end if;
    select base_seq, head_seq into low, high from tocsin.streams where stream = of_stream;
    while low < high loop
        mid := (low + high + 1) / 2;
        select object_id into here from tocsin.events where stream = of_stream and seq = mid;
        if here <= message then
            low := mid;
        else
            high := mid - 1;
        end if;
    end loop;
    return low;
end
$$;
