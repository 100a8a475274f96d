-- What tocsin doctor wants to know of the schema, as its owner.
with granted as (
    select c.oid::regclass::text as name from pg_class c cross join aclexplode(c.relacl) a
    where c.relnamespace = 'tocsin'::regnamespace and a.grantee = 0
    union all
    select p.oid::regprocedure::text from pg_proc p
    cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.pronamespace = 'tocsin'::regnamespace and a.grantee = 0
    union all
    select 'the schema' from pg_namespace n cross join aclexplode(n.nspacl) a where n.nspname = 'tocsin' and a.grantee = 0),
dead as (
    select relname::text as name, n_dead_tup as dead from pg_stat_user_tables
    where schemaname = 'tocsin' and n_dead_tup > 100000 and n_dead_tup > n_live_tup / 2
    order by n_dead_tup desc limit 1)
select tocsin.partitions_left() as months_ahead,
       (select count(*) from granted) as granted,
       (select min(name) from granted) as granted_first,
       to_regrole('tocsin_writer') is not null as writer,
       coalesce(has_table_privilege(to_regrole('tocsin_writer'), 'tocsin.messages', 'insert'), false) as writer_writes,
       (select name from dead) as dead_table,
       (select dead from dead) as dead_rows
