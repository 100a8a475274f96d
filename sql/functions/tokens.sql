-- The seq of a stream at a moment: the largest one with edited_at not after it, or base_seq when all kept events are
-- later. edited_at rises strictly with seq, so halving finds it through the index on (stream, seq) alone.
create or replace function tocsin.seq_at(of_stream text, moment timestamptz) returns bigint language plpgsql stable as $$
declare
    low  bigint; -- at or before the moment
    high bigint;
    mid  bigint;
    mid_at timestamptz;
begin
    select base_seq, head_seq into low, high from tocsin.streams where stream = of_stream;
    while low < high loop
        mid := (low + high + 1) / 2;
        select edited_at into mid_at from tocsin.events where stream = of_stream and seq = mid;
        if mid_at <= moment then
            low := mid;
        else
            high := mid - 1;
        end if;
    end loop;
    return coalesce(low, 0);
end
$$;

-- Where a restartToken leads: delivery begins after this seq. A client that knows the box from before it was reset
-- needs nothing of what came before: it begins with the newest reset.
create or replace function tocsin.start_after(of_stream text, moment timestamptz) returns bigint language sql stable as $$
    select coalesce((select max(e.seq) - 1 from tocsin.events e
                     where e.stream = of_stream and e.seq > at.seq and e.kind = 'box.reset'), at.seq)
    from tocsin.seq_at(of_stream, moment) as at (seq)
$$;
