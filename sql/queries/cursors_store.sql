-- Stores confirmed positions; one that is older than what is stored changes nothing.
insert into tocsin.cursors as c (subscription_id, generation, next_seq, next_at, next_index)
select p.id, p.generation, p.next_seq, p.next_at, p.next_index
from unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[])
     as p (id, generation, next_seq, next_at, next_index)
where exists (select from tocsin.subscriptions s where s.id = p.id)
order by p.id
on conflict (subscription_id) do update
    set generation = excluded.generation, next_seq = excluded.next_seq,
        next_at = excluded.next_at, next_index = excluded.next_index
    where (excluded.generation, excluded.next_index, excluded.next_seq) > (c.generation, c.next_index, c.next_seq)
