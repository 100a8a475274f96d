-- What tocsin doctor wants to know of the server and of the role that asks, whether there is a schema of ours or not.
-- (Of other roles' sessions, only members of pg_read_all_stats are told.)
select current_setting('server_version_num')::int / 10000 as major,
       pg_is_in_recovery() as standby,
       current_user::text as role,
       current_database()::text as database,
       (select rolsuper from pg_roles where rolname = current_user) as superuser,
       has_database_privilege(current_database(), 'create') as may_create,
       (select pg_get_userbyid(nspowner)::text from pg_namespace where nspname = 'tocsin') as owner,
       coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'tocsin'), false) as owns,
       exists (select from pg_namespace n cross join aclexplode(n.nspacl) a
               where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE') as anybody_creates,
       -- (reserved_connections came with Postgres 16.)
       current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
           - coalesce(current_setting('reserved_connections', true), '0')::bigint as connections_max,
       (select least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1))::bigint from pg_roles, pg_database
        where rolname = current_user and datname = current_database()) as connections_limit,
       (select sum(numbackends) from pg_stat_database)::bigint as connections,
       (select count(*) from pg_stat_activity where application_name like 'tocsin tail%') as nodes,
       pg_notification_queue_usage() as queue,
       current_setting('autovacuum')::boolean and current_setting('track_counts')::boolean as autovacuum,
       (select extract(epoch from clock_timestamp() - min(xact_start))::float8 from pg_stat_activity
        where (backend_xid is not null or backend_xmin is not null)
          and pid <> pg_backend_pid() and backend_type = 'client backend') as transaction_age,
       (select pid from pg_stat_activity
        where (backend_xid is not null or backend_xmin is not null)
          and pid <> pg_backend_pid() and backend_type = 'client backend'
        order by xact_start limit 1) as transaction_pid,
       (select extract(epoch from clock_timestamp() - min(prepared))::float8 from pg_prepared_xacts) as prepared_age,
       case when not pg_is_in_recovery() then
           (select string_agg(slot_name, ', ') from pg_replication_slots
            where not active and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > 1073741824) end as slots
