-- A live object of a box.
select id, folder_id, tocsin.folder_path(folder_id) as path, attributes, flags, correlation_id, correlation_tag, payload,
       seq, created_at
from tocsin.objects
where id = $1 and store = $2 and box_id = $3 and gone is null
