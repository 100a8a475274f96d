-- Payloads: from an upload, which is nobody's, to bytes that objects have, and away again.

-- Makes an upload the payload with this hash; when there is one already, that is used and the upload goes. In the
-- transaction that gives it to an object: until it commits, the upload is nobody's.
create or replace function tocsin.keep_payload(upload bigint, of_hash text, of_size bigint) returns void language plpgsql as $$
begin
    -- (A sweep that comes upon this row waits for us, and then sees that it was touched.)
    update tocsin.payloads set touched_at = now() where hash = of_hash;
    if not found then
        begin
            update tocsin.payloads set hash = of_hash, size = of_size, touched_at = now() where id = upload and hash is null;
            if not found then
                raise exception 'upload % took too long', upload using errcode = 'object_not_in_prerequisite_state';
            end if;
            return;
        exception when unique_violation then -- somebody else's was first, and has committed meanwhile
            update tocsin.payloads set touched_at = now() where hash = of_hash;
            if not found then
                raise exception 'payload % came and went', of_hash using errcode = 'serialization_failure';
            end if;
        end;
    end if;
    delete from tocsin.payloads where id = upload and hash is null;
end
$$;

-- Removes what was not touched for an hour and no living object has: uploads that nobody finished, payloads whose
-- objects are gone. Looks at `most` of them after `after`; answers where to go on, null at the end.
create or replace function tocsin.sweep_payloads(after bigint, most integer) returns bigint language sql as $$
    with page as materialized (
        select id from tocsin.payloads where id > after order by id limit most),
    swept as (
        delete from tocsin.payloads p using page
        where p.id = page.id and p.touched_at < now() - interval '1 hour'
          and not exists (select from tocsin.objects o
                          where o.payload is not null and o.payload ->> 'hash' = p.hash and o.gone is null))
    select case count(*) when most then max(id) end from page
$$;
