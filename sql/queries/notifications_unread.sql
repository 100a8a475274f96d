-- How many notifications of a user ($1) are unread, without the types that are not wanted.
select count(*)
from tocsin.notifications n left join tocsin.inboxes i on i.user_id = n.user_id
where n.user_id = $1 and n.readed is null and (i.types is null or n.type = any (i.types))
