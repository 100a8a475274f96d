-- Long polling: one row says which poll of a channel is open and what was answered last, so that polls on any nodes
-- take turns. Whoever comes here holds the channel's row in channel_lifetimes first.

-- A poll begins: it is the channel's newest, and what the last answer brought has arrived, unless it is known to be
-- lost. An older poll that is open is superseded; only then a channel.opened is written, for the node that holds it.
-- Answers the place in the channel's stream after which others supersede this one, and the time; no row when the
-- channel does not live.
--
-- `refresh`: it starts the channel's lifetime again, as polls of LongPolling channels do.
create or replace function tocsin.poll_begin(channel text, poll text, refresh boolean)
returns table (opened_seq bigint, begun_at timestamptz) language plpgsql as $$
declare
    last tocsin.polls;
begin
    if not tocsin.poll_live(channel, refresh) then
        return;
    end if;
    last := tocsin.poll_confirm(channel);
    insert into tocsin.polls as p (channel_id, open) values (channel, poll)
    on conflict (channel_id) do update set open = excluded.open, answered = null, sent = '[]', lost = false;
    if last.open is not null then
        insert into tocsin.events as e (stream, kind, data)
        values ('$channel/' || channel, 'channel.opened', jsonb_build_object('connection', poll))
        returning e.seq into opened_seq;
    else
        select s.head_seq into opened_seq from tocsin.streams s where s.stream = '$channel/' || channel;
    end if;
    begun_at := clock_timestamp();
    return next;
end
$$;

-- A poll is about to be answered: writes the positions down that its client will then have reached, and starts the
-- lifetime again. Answers 'answered'; 'superseded' when a newer poll began meanwhile; 'gone' when the channel ended.
create or replace function tocsin.poll_answer(channel text, poll text, positions jsonb, refresh boolean)
returns text language plpgsql as $$
begin
    if not tocsin.poll_live(channel, refresh) then
        return 'gone';
    end if;
    update tocsin.polls p set open = null, answered = poll, answered_at = clock_timestamp(), sent = positions, lost = false
    where p.channel_id = channel and p.open = poll;
    -- (A caller whose connection broke asks again, and may have been heard the first time.)
    if found or exists (select from tocsin.polls p where p.channel_id = channel and p.answered = poll and not p.lost) then
        return 'answered';
    end if;
    return 'superseded';
end
$$;

-- Locks the channel, if it lives, and may start its lifetime again.
create or replace function tocsin.poll_live(channel text, refresh boolean) returns boolean language plpgsql as $$
begin
    update tocsin.channel_lifetimes l
    set expires_at = case when refresh then now() + make_interval(secs => l.lifetime_seconds) else l.expires_at end
    where l.channel_id = channel and l.expires_at > now();
    return found;
end
$$;

-- What the last answer brought has arrived, unless it is known to be lost. Answers the row as it was.
create or replace function tocsin.poll_confirm(channel text) returns tocsin.polls language plpgsql as $$
declare
    last tocsin.polls;
begin
    select * into last from tocsin.polls p where p.channel_id = channel;
    if not last.lost and last.sent <> '[]' then
        perform tocsin.store_positions(array_agg(s.source), array_agg(s.generation), array_agg(s.seq),
                                       array_agg(s.at), array_agg(s.index))
        from jsonb_to_recordset(last.sent)
             as s (source text, generation bigint, seq bigint, at timestamptz, index bigint);
    end if;
    update tocsin.polls p set sent = '[]', lost = false where p.channel_id = channel;
    return last;
end
$$;

-- A poll's client is gone, or its answer did not arrive: it is open no longer, and the next poll gets the same again.
create or replace function tocsin.poll_undelivered(channel text, poll text) returns void language sql as $$
    update tocsin.polls p
    set open = nullif(p.open, poll), lost = p.lost or p.answered is not distinct from poll
    where p.channel_id = channel and poll in (p.open, p.answered)
$$;
