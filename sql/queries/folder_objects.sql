-- The objects in a folder other than the root folder, those first that were made first, after a place.
select id, created_seq
from tocsin.objects
where folder_id = $1 and folder_id <> 0 and gone is null and created_seq > $2
order by created_seq
limit $3
