-- The folders at paths, in the order of the paths; null for one where no folder is.
select tocsin.folder_at($1, p.path, false)
from unnest($2::text[]) with ordinality as p (path, n)
order by p.n
