-- Whether objects are in the folders at paths, in the order of the paths.
select exists (select from tocsin.objects o
               where o.id = p.id and o.store || '/' || o.box_id = $1 and o.gone is null
                 and o.folder_id = tocsin.folder_at($1, p.folder, false))
from unnest($2::text[], $3::bigint[]) with ordinality as p (folder, id, n)
order by p.n
