-- What waits of an author ($1): one by its id ($2), or those after an id ($3), in their order, at most $4.
select id, what, request, condition, author, due_at, created_at from tocsin.deferred
where author = $1 and ($2::bigint is null or id = $2) and id > $3
order by id limit $4
