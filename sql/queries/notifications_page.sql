-- Notifications of a user ($1), without the types that are not wanted: read or unread ones ($2), those read since a moment
-- ($3), those before an id ($4), or after one ($5), then the oldest first; at most $6, without the first $7. Each row has
-- the number of all, whatever their ids; the first is there even when there is none.
with wanted as not materialized (
    select n.id, n.readed from tocsin.notifications n
    where n.user_id = $1
      and ((select i.types from tocsin.inboxes i where i.user_id = $1) is null
           or n.type = any (array(select unnest(i.types) from tocsin.inboxes i where i.user_id = $1)))
      and ($2::boolean is null or (n.readed is not null) = $2)
      and ($3::timestamptz is null or n.readed >= $3)
),
page as (
    (select w.id from wanted w where $5::bigint is null and ($4::bigint is null or w.id < $4)
     order by w.id desc limit $6 offset $7)
    union all
    (select w.id from wanted w where w.id > $5 order by w.id limit $6)
)
select (select count(*) from wanted) as count, n.id, n.user_id, n.readed, n.event
from (select 1) as always
left join (select n.* from page p join tocsin.notifications n on n.id = p.id) as n on true
order by case when $5::bigint is null then -n.id else n.id end
