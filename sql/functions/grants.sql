-- Whether a grant lets a user do this: one to the user or to everybody, on this resource or on all of its kind.
create or replace function tocsin.is_granted(who text, of_kind text, of_name text, needed text)
returns boolean language sql stable as $$
    select exists (
        select from tocsin.grants
        where kind = of_kind and grantee in (who, '*') and name in (of_name, '*') and needed = any (rights))
$$;

-- As tocsin.is_granted, and until we have committed it stays so: who revokes it waits for us, and sees what we have made.
create or replace function tocsin.holds_grant(who text, of_kind text, of_name text, needed text)
returns boolean language plpgsql as $$
begin
    perform from tocsin.grants
    where kind = of_kind and grantee in (who, '*') and name in (of_name, '*') and needed = any (rights)
    for key share;
    return found;
end
$$;

-- Adds rights to those that a grantee has.
create or replace function tocsin.grant_rights(to_whom text, of_kind text, of_name text, added text[], by text)
returns tocsin.grants language sql as $$
    insert into tocsin.grants as g (grantee, kind, name, rights, granted_by)
    values (to_whom, of_kind, of_name, array(select distinct unnest(added) order by 1), by)
    on conflict (grantee, kind, name) do update
        set rights = array(select distinct unnest(g.rights || excluded.rights) order by 1),
            granted_by = excluded.granted_by, granted_at = now()
    returning *
$$;

-- Takes a grant back. The subscriptions that rested on it end with it: by an event in the stream of the box, so that what
-- is written there afterwards reaches nobody by it, on whatever node. In the order of the streams, as all do who end many.
create or replace function tocsin.revoke_grant(grant_id bigint) returns boolean language plpgsql as $$
declare
    gone tocsin.grants;
    it   record;
begin
    delete from tocsin.grants where id = grant_id returning * into gone;
    if not found then
        return false;
    end if;
    if gone.kind = 'box' and 'read' = any (gone.rights) then
        for it in
            select s.stream, s.id from tocsin.subscriptions s
            where (gone.name = '*' or s.stream = gone.name)
              and s.subscriber <> split_part(s.stream, '/', 2) and not s.privileged
              and (gone.grantee = '*' or s.subscriber = gone.grantee)
              and not tocsin.is_granted(s.subscriber, 'box', s.stream, 'read')
            order by s.stream, s.id
        loop
            perform tocsin.end_subscription(it.stream, it.id, 'deleted');
        end loop;
    end if;
    return true;
end
$$;
