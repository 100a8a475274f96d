-- A living folder of a box; the root folder is no row.
select parent_id, name, tocsin.folder_path(id) as path, attributes, seq, created_at
from tocsin.folders
where id = $3 and store = $1 and box_id = $2 and gone is null
