-- tocsin.fold(text): how names and texts are compared without case. The same for every database, whatever its locale,
-- and the same as base::fold in the server (a test holds them against each other): lower case, letter by letter.
-- Which collation knows Unicode's letters depends on how Postgres was built.
do $$
declare
    knows_letters text;
begin
    select format('%I.%I', n.nspname, c.collname) into strict knows_letters
    from pg_collation c join pg_namespace n on n.oid = c.collnamespace
    where n.nspname = 'pg_catalog' and c.collname in ('pg_c_utf8', 'und-x-icu', 'C.utf8', 'C.UTF-8', 'C')
      and c.collencoding in (-1, (select encoding from pg_database where datname = current_database()))
    order by array_position(array['pg_c_utf8', 'und-x-icu', 'C.utf8', 'C.UTF-8', 'C'], c.collname::text) limit 1;
    -- The capital dotted I and the final sigma are the two letters whose small form depends on more than the letter.
    execute format($function$
        create or replace function tocsin.fold(given text) returns text language sql immutable strict parallel safe as
        'select replace(lower(replace(given, U&''\0130'', ''i'') collate %s), U&''\03C2'', U&''\03C3'')'
        $function$, knows_letters);
end
$$;
