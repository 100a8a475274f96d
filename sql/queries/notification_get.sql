-- One notification ($2) of a user ($1).
select id, user_id, readed, event from tocsin.notifications where user_id = $1 and id = $2
