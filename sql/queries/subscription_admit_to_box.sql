-- Whether a box ($1) has room for another subscription: less than $2 of them. Each was an event of its stream, so they need
-- not be counted where there were not as many.
select coalesce((select head_seq from tocsin.streams where stream = $1), 0) < $2
    or (select count(*) from (select from tocsin.subscriptions where stream = $1 limit $2) as those) < $2
