-- Events of one stream from a seq on ($2), in order: up to $3, but no more once they take $4 bytes in the table. Those
-- bytes can be told without reading the data of what is then not wanted. The last column is how many it has come to.
-- (There are no gaps, so they are a range: with a limit instead, a plan that sorts would read all the rest of the stream.)
--
-- All of them are later than a moment ($5), so that sealed partitions which have none so late need not be looked into;
-- nor need those that begin after the stream's newest event. (An event's created_at is not later than its edited_at, but
-- for a clock that stepped back in between: by less than a day.)
select seq, kind, object_id, edited_at, data, stored
from (
    select seq, kind, object_id, edited_at, data, pg_column_size(data) as own,
           sum(pg_column_size(data)) over (order by seq rows unbounded preceding) as stored
    from tocsin.events
    where stream = $1 and seq >= $2 and seq < $2 + $3::bigint
      and created_at >= (select coalesce(max(upto), '-infinity') from tocsin.sealed where newest <= $5)
      and created_at <= (select head_at + interval '1 day' from tocsin.streams where stream = $1)
) as e
where stored - own < $4
order by seq
