-- Stores confirmed positions of sources that still exist; one that is older than what is stored changes nothing.
create or replace function tocsin.store_positions(
    sources text[], generations bigint[], next_seqs bigint[], next_ats timestamptz[], next_indexes bigint[])
returns void language sql as $$
    insert into tocsin.cursors as c (source_id, generation, next_seq, next_at, next_index, confirmed_at)
    select p.id, p.generation, p.next_seq, p.next_at, p.next_index, clock_timestamp()
    from unnest(sources, generations, next_seqs, next_ats, next_indexes)
         as p (id, generation, next_seq, next_at, next_index)
    where exists (select from tocsin.subscriptions s where s.id = p.id)
       or exists (select from tocsin.channels n where n.id = p.id)
    order by p.id
    on conflict (source_id) do update
        set generation = excluded.generation, next_seq = excluded.next_seq,
            next_at = excluded.next_at, next_index = excluded.next_index, confirmed_at = excluded.confirmed_at
        where (excluded.generation, excluded.next_index, excluded.next_seq) > (c.generation, c.next_index, c.next_seq)
$$;

-- Stores how far sources that still exist were sent, and how many seconds ago; one that is older than what is stored
-- changes nothing.
create or replace function tocsin.store_sent(sources text[], generations bigint[], next_seqs bigint[], ages float8[])
returns void language sql as $$
    insert into tocsin.sent as s (source_id, generation, next_seq, sent_at)
    select p.id, p.generation, p.next_seq, clock_timestamp() - make_interval(secs => p.age)
    from unnest(sources, generations, next_seqs, ages) as p (id, generation, next_seq, age)
    where exists (select from tocsin.subscriptions s where s.id = p.id)
       or exists (select from tocsin.channels n where n.id = p.id)
    order by p.id
    on conflict (source_id) do update
        set generation = excluded.generation, next_seq = excluded.next_seq, sent_at = excluded.sent_at
        where (excluded.generation, excluded.next_seq) > (s.generation, s.next_seq)
$$;
