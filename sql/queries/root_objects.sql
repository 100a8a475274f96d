-- The objects in the root folder of a box, those first that were made first, after a place.
select id, created_seq
from tocsin.objects
where store = $1 and box_id = $2 and folder_id = 0 and gone is null and created_seq > $3
order by created_seq
limit $4
