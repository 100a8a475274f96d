-- The folders in a folder, those first that were made first, after a place.
select id, name, created_seq
from tocsin.folders
where store = $1 and box_id = $2 and parent_id = $3 and gone is null and created_seq > $4
order by created_seq
limit $5
