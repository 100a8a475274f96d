-- The path of a folder, its own name last: empty for the root folder, null for none that lives.
-- (With the rights of its owner: it stands in the view tocsin.messages, whose readers have none on folders.)
create or replace function tocsin.folder_path(folder bigint) returns text language plpgsql stable
security definer set search_path = pg_catalog, pg_temp as $$
declare
    path text := '';
    it   record;
begin
    while folder <> 0 loop
        select parent_id, name into it from tocsin.folders where id = folder and gone is null;
        if not found then
            return null;
        end if;
        path := '/' || it.name || path;
        folder := it.parent_id;
    end loop;
    return path;
end
$$;
