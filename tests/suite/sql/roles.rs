//! Who may do what in the schema: the server's own role, who writes, and everybody else.

use tocsin::postgres::embedded::running_url;

use super::*;
use crate::support::postgres::doorbell;
use crate::support::server::Program;

/// Refused for want of a right.
const DENIED: &str = "42501";
/// Refused as it cannot be.
const INVALID: &str = "22023";

/// The role of the whole cluster that writers are granted, which other tests may have made already.
const WRITER: &str =
    "do $$ begin create role tocsin_writer; exception when duplicate_object or unique_violation then null; end $$;
    select tocsin.grant_to_writer()";

/// A database with something in it, a connection of the server's role, and one of a role that is a writer.
async fn written_by_app() -> (Database, Client, Client) {
    let database = Database::new().await;
    let owner = database.connect().await;
    run(&owner, WRITER).await;
    let (role, app) = database.role("app").await;
    run(&owner, &format!("grant tocsin_writer to {role}; {}", message("owned", 1))).await;
    (database, owner, app)
}

async fn none(sql: &Client, query: &str) {
    let found: Vec<String> = column(sql, query).await;
    assert!(found.is_empty(), "{query}: {found:#?}");
}

/// All that others than its owner may do in the schema; `grantee` is a condition on its oid.
fn rights(grantee: &str) -> String {
    format!(
        "select format('%s on %s', a.privilege_type, o.name) from (
             select nspname::text as name, coalesce(nspacl, acldefault('n', nspowner)) as acl from pg_namespace
             where nspname = 'tocsin'
             union all
             select relname, coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::\"char\", relowner))
             from pg_class where relnamespace = 'tocsin'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
             union all
             select format('%s.%s', attrelid::regclass, attname), attacl from pg_attribute
             where attacl is not null and attrelid in (select oid from pg_class where relnamespace = 'tocsin'::regnamespace)
             union all
             select proname, coalesce(proacl, acldefault('f', proowner)) from pg_proc
             where pronamespace = 'tocsin'::regnamespace) as o (name, acl)
         cross join aclexplode(o.acl) as a where a.grantee {grantee} order by 1"
    )
}

#[tokio::test]
async fn the_server_s_role_owns_its_schemas_and_nothing_else() {
    let (database, role) = Database::of_plain_role().await;
    let server = Server::start(&database).await;
    let sql = database.connect().await;
    none(
        &sql,
        "select rolname from pg_roles where rolname = current_user
         and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)",
    )
    .await;
    let owned = format!("select nspname::text from pg_namespace where nspowner = '{role}'::regrole order by nspname");
    assert_eq!(column::<String>(&sql, &owned).await, ["tocsin", "tocsin_conditions"]);
    none(
        &sql,
        "select oid::regclass::text from pg_class where relowner = current_user::regrole
         and relnamespace not in ('tocsin'::regnamespace, 'pg_toast'::regnamespace)",
    )
    .await;
    let mut follower = Follower::start(&server).await;
    run(&sql, &message("b", 1)).await;
    run(&sql, "insert into tocsin.events (stream, kind) values ('b', 'k'); select tocsin.publish('room', 't', users => '{u}')")
        .await;
    follower.takes(2, 3).await;
    none(&sql, &rights("= 0")).await;
    server.stop().await;
    // And again, with everything there.
    Server::start(&database).await.stop().await;
}

#[tokio::test]
async fn everybody_has_nothing_in_a_new_database_nor_in_an_old_one_that_was_migrated() {
    let database = Database::new().await;
    let sql = database.connect().await;
    none(&sql, &rights("= 0")).await;
    run(
        &sql,
        "grant execute on all functions in schema tocsin to public; grant select on tocsin.messages to public;
         grant usage on schema tocsin to public; grant usage on all sequences in schema tocsin to public;
         update tocsin.replaceable set fingerprint = 'older'",
    )
    .await;
    assert!(rows(&sql, &rights("= 0")).await.len() > 100);
    Server::start(&database).await.stop().await;
    none(&sql, &rights("= 0")).await;
}

#[tokio::test]
async fn a_function_that_runs_with_its_owner_s_rights_has_its_search_path_pinned() {
    let database = Database::new().await;
    let sql = database.connect().await;
    none(
        &sql,
        "select oid::regprocedure::text from pg_proc where pronamespace = 'tocsin'::regnamespace and prosecdef
         and coalesce(proconfig, '{}') && '{\"search_path=pg_catalog, pg_temp\"}' is false",
    )
    .await;
}

#[tokio::test]
async fn what_a_writer_may_call_does_not_mean_what_his_search_path_says() {
    let (_database, owner, _) = written_by_app().await;
    let callable = "from pg_proc p where pronamespace = 'tocsin'::regnamespace and has_function_privilege('tocsin_writer', p.oid, 'execute')";
    assert!(value::<i64>(&owner, &format!("select count(*) {callable}")).await > 5);
    // Either pinned, or read when it was made.
    none(&owner, &format!("select p.oid::regprocedure::text {callable} and not prosecdef and prosqlbody is null"))
        .await;
}

#[tokio::test]
async fn a_writer_has_these_rights_and_no_others() {
    let (_database, owner, _) = written_by_app().await;
    let given: Vec<String> = column(&owner, &rights("= 'tocsin_writer'::regrole")).await;
    assert_eq!(
        given,
        [
            "DELETE on messages",
            "EXECUTE on first_value",
            "EXECUTE on folder_path",
            "EXECUTE on is_applications_own",
            "EXECUTE on message_data",
            "EXECUTE on publish",
            "EXECUTE on publish_to_room",
            "EXECUTE on texts",
            "EXECUTE on unusual_message",
            "INSERT on messages",
            "INSERT on tocsin.events.data",
            "INSERT on tocsin.events.kind",
            "INSERT on tocsin.events.stream",
            "SELECT on messages",
            "UPDATE on messages",
            "USAGE on tocsin",
        ]
    );
    assert!(!value::<bool>(&owner, "select tocsin.grant_to_writer()").await, "a second time nothing is to be done");
}

#[tokio::test]
async fn a_server_grants_a_writer_made_before_its_start_what_it_needs() {
    let database = Database::new().await;
    let sql = database.connect().await;
    run(&sql, &WRITER.replace("select tocsin.grant_to_writer()", "")).await;
    run(&sql, "revoke all on schema tocsin from tocsin_writer").await;
    Server::start(&database).await.stop().await;
    assert!(value::<bool>(&sql, "select has_schema_privilege('tocsin_writer', 'tocsin', 'usage')").await);
    assert!(value::<bool>(&sql, "select has_table_privilege('tocsin_writer', 'tocsin.messages', 'insert')").await);
}

#[tokio::test]
async fn a_private_cluster_has_the_role_of_writers() {
    let dir = tempfile::TempDir::new().unwrap();
    let program = Program::start(dir.path()).await;
    let sql = crate::support::postgres::connect(&running_url(dir.path()).unwrap()).await;
    run(&sql, "create role app; grant tocsin_writer to app; set role app").await;
    run(&sql, &message("b", 1)).await;
    assert_eq!(refusal(&sql, "select * from tocsin.url_keys").await, DENIED);
    program.terminate().await;
}

#[tokio::test]
async fn a_writer_writes_reads_and_changes_messages_appends_events_and_publishes() {
    let (_database, owner, app) = written_by_app().await;
    let id: i64 = value(
        &app,
        "insert into tocsin.messages (box_id, sender, recipient, body, folder, flags, attributes)
         values ('b', 'a', 'b', 'hi', '/x/y', '{\\Seen}', '{\"Subject\": \"s\"}') returning id",
    )
    .await;
    run(&app, &message("b", "usual")).await;
    let changed = format!(
        "update tocsin.messages set body = 'hello', folder = '/z', flags = '{{}}' where id = {id} returning folder"
    );
    assert_eq!(value::<String>(&app, &changed).await, "/z");
    run(&app, &format!("delete from tocsin.messages where id = {id}")).await;
    let sink = app.copy_in::<_, bytes::Bytes>("copy tocsin.messages (box_id, body) from stdin").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    futures_util::SinkExt::send(&mut sink, "b\tcopied\n".into()).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 1);
    run(&app, "insert into tocsin.events (stream, kind, data) values ('b', 'order.placed', '{\"n\": 1}'), ('b', 'ping', '{}')").await;
    run(&app, "begin; insert into tocsin.events (stream, kind) values ('b', 'k'); insert into tocsin.events (stream, kind) values ('b', 'k'); commit").await;
    run(
        &app,
        "select tocsin.publish('room', 't', users => '{u}'), tocsin.publish_to_room('r', recipients => '{u}'),
                tocsin.publish('room', 't', users => '{u}', deliver_at => now() + interval '1 hour')",
    )
    .await;
    assert_eq!(value::<i64>(&owner, "select count(*) from tocsin.notifications").await, 2);
    assert_eq!(value::<i64>(&owner, "select count(*) from tocsin.deferred").await, 1);
    let seen: Vec<String> =
        column(&app, "select coalesce(body, '') from tocsin.messages where box_id = 'b' order by id").await;
    assert_eq!(seen, ["usual", "copied", "", "", "", ""]);
    assert_exact(&owner).await;
}

#[tokio::test]
async fn a_writer_reads_no_keys_no_log_and_nothing_of_others() {
    let (_database, owner, app) = written_by_app().await;
    let relations = "select oid::regclass::text from pg_class
        where relnamespace = 'tocsin'::regnamespace and relkind in ('r', 'p', 'v', 'S') and relname <> 'messages'";
    let relations: Vec<String> = column(&owner, relations).await;
    assert!(relations.iter().any(|name| name == "tocsin.url_keys") && relations.len() > 30, "{relations:?}");
    for relation in relations {
        for attack in
            ["select * from", "delete from", "truncate", "begin; lock table", "copy (table", "create index on"]
        {
            let rest = match attack {
                "copy (table" => ") to stdout",
                "create index on" => " ((1))",
                _ => "",
            };
            let statement = format!("{attack} {relation}{rest}");
            let code = refusal(&app, &statement).await;
            run(&app, "rollback").await;
            // (A sequence is not a table, nor is a view.)
            assert!([DENIED, "42809", "42P01"].contains(&code.as_str()) || code == "0A000", "{statement}: {code}");
        }
    }
    for statement in [
        "insert into tocsin.events (stream, kind) values ('b', 'k') returning data",
        "insert into tocsin.events (stream, kind) select stream, kind from tocsin.events",
        "select nextval('tocsin.object_ids')",
        "select setval('tocsin.object_ids', 1)",
        "select tocsin.take_callback('c', 'JSON', '{}', null, 9)",
        "select tocsin.defer('callback', '{}', now(), null, 'a')",
        "select tocsin.cancel_deferred(1)",
        "select tocsin.end_channel('c', 'deleted')",
        "select tocsin.watch('pg_class', 'oid', 'b')",
        "select tocsin.declare_group('all', '{me}')",
        "select tocsin.grant_to_writer()",
        "select tocsin.ring('b', 1, 'k', 1, '{}', now())",
        "select tocsin.apply('default/b', 1, 'object.created', 1, '{\"attributes\": {}}', now())",
        "select tocsin.change_object('default/owned', 1, '{}')",
        "create or replace function tocsin.first_value(value jsonb) returns text language sql as 'select 1::text'",
        "create function tocsin.mine() returns int language sql as 'select 1'",
        "create table tocsin.mine (id int)",
        "alter function tocsin.stamp() security invoker",
        "alter table tocsin.events disable row level security",
        "alter table tocsin.events disable trigger all",
        "drop policy events_append on tocsin.events",
        "create trigger mine before insert on tocsin.events for each row execute function tocsin.stamp()",
        "create rule mine as on insert to tocsin.messages do instead nothing",
        "set session_replication_role = replica",
        "update tocsin.events set kind = 'k'",
        "grant select on tocsin.messages to public",
        "set role tocsin",
        "set session authorization tocsin",
    ] {
        assert_eq!(refusal_or_warning(&app, &owner, statement).await, DENIED, "{statement}");
    }
}

/// GRANT of what one may not grant is a warning; then nothing has changed.
async fn refusal_or_warning(app: &Client, owner: &Client, statement: &str) -> String {
    match app.batch_execute(statement).await {
        Err(fault) => fault.code().unwrap().code().to_owned(),
        Ok(()) => {
            none(owner, &rights("= 0")).await;
            assert!(statement.starts_with("grant"), "{statement}");
            DENIED.to_owned()
        }
    }
}

#[tokio::test]
async fn a_writer_forges_no_event_that_is_not_an_application_s_own() {
    let (_database, owner, app) = written_by_app().await;
    run(&owner, "select tocsin.publish('room', 't', users => '{u}')").await;
    let before: i64 = value(&owner, "select count(*) from tocsin.events").await;
    for (stream, kind) in [
        ("b", "object.created"),
        ("owned", "object.deleted"),
        ("b", "folder.created"),
        ("b", "box.reset"),
        ("b", "subscription.created"),
        ("b", "subscription.deleted"),
        ("b", "row.inserted"),
        ("b", "table.truncated"),
        ("b", "row"),
        ("b", "inbox.opened"),
        ("b", "channel.created"),
        ("$channel/c", "channel.created"),
        ("$channel/c", "channel.notified"),
        ("$channel/c", "order.placed"),
        ("$inbox/u", "notification.created"),
        ("$inbox/u", "inbox.preferred"),
        ("$inbox/u", "object.created"),
        ("$room/r", "room.published"),
        ("$deferred/1", "deferred.created"),
        ("$grant/1", "order.placed"),
    ] {
        let data = r#"{"id": "x", "user": "u", "channel": "x", "event": {}, "attributes": {}, "format": "JSON", "body": "b",
            "expiresAt": "2030-01-01T00:00:00Z", "what": "event", "due_at": "2030-01-01T00:00:00Z", "name": "f",
            "request": {}, "settings": {"type": "WebSockets"}, "from": 0, "token": "2020-01-01T00:00:00Z", "reset": false}"#;
        let insert = format!("insert into tocsin.events (stream, kind, data) values ('{stream}', '{kind}', '{data}')");
        let code = refusal(&app, &insert).await;
        // (23502: what is no event at all is found first.)
        assert!([DENIED, INVALID, "P0002", "23502"].contains(&code.as_str()), "{stream} {kind}: {code}");
    }
    for (column, given) in
        [("object_id", "1"), ("seq", "9"), ("edited_at", "now()"), ("created_at", "now()"), ("xid", "'1'")]
    {
        let insert = format!("insert into tocsin.events (stream, kind, {column}) values ('b', 'k', {given})");
        assert_eq!(refusal(&app, &insert).await, DENIED);
    }
    for insert in [
        "(store, box_id, body) values ('$inbox', 'u', 'x')",
        "(store, box_id, sender, recipient, body) values ('$inbox', 'u', 'x', 'x', 'x')",
        "(store, box_id, body, folder) values ('$inbox', 'u', 'x', '/f')",
        "(box_id, body, attributes) values ('b', 'x', '{\"event-kind\": [\"row.updated\"]}')",
        "(id, box_id, body) values (1, 'b', 'x')",
    ] {
        assert_eq!(refusal(&app, &format!("insert into tocsin.messages {insert}")).await, INVALID, "{insert}");
    }
    let update = "update tocsin.messages set attributes = attributes || '{\"Event-Kind\": \"row.deleted\"}'";
    assert_eq!(refusal(&app, update).await, INVALID);
    assert_eq!(refusal(&app, "update tocsin.messages set box_id = 'c'").await, "0A000");
    if value::<i32>(&owner, "select current_setting('server_version_num')::int").await >= 150_000 {
        let merge = "merge into tocsin.events using (select 1) as one on false
                     when not matched then insert (stream, kind) values ('$room/r', 'room.published')";
        assert_eq!(refusal(&app, merge).await, DENIED);
    }
    assert_eq!(value::<i64>(&owner, "select count(*) from tocsin.events").await, before);
    assert_exact(&owner).await;
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_writer_s_own_making_is_not_taken() {
    let (database, owner, app) = written_by_app().await;
    let (_, _) = (&database, &owner);
    let me: String = value(&app, "select current_user::text").await;
    run(&owner, &format!("create schema evil authorization {me}")).await;
    // Whatever of this is called with other rights than the writer's says so.
    run(
        &app,
        "create table evil.called (by text);
         create function evil.call(answer anyelement) returns anyelement language plpgsql as $$
         begin
             if current_user operator(pg_catalog.<>) session_user then insert into evil.called values (current_user); end if;
             return answer;
         end $$;
         create function evil.split_part(text, text, int) returns text language sql as $$ select evil.call('mine'::text) $$;
         create function evil.starts(text, text) returns boolean language sql as $$ select evil.call(true) $$;
         create operator evil.!~~ (leftarg = text, rightarg = text, function = evil.starts);
         create operator evil.<> (leftarg = text, rightarg = text, function = evil.starts);
         create operator evil.!~ (leftarg = text, rightarg = text, function = evil.starts);
         create function evil.jsonb_typeof(jsonb) returns text language sql as $$ select evil.call('array'::text) $$;
         create function evil.jsonb_object(text[]) returns jsonb language sql as $$ select evil.call('{\"evil\": 1}'::jsonb) $$;
         create function evil.jsonb_build_object(text, jsonb) returns jsonb language sql as $$ select evil.call('{\"attributes\": {\"evil\": 1}}'::jsonb) $$;
         create function evil.hashtextextended(text, bigint) returns bigint language sql as $$ select evil.call(1::bigint) $$;
         create function evil.now() returns timestamptz language sql as $$ select evil.call('2000-01-01'::timestamptz) $$;
         create function evil.nextval(text) returns bigint language sql as $$ select evil.call(7::bigint) $$;
         create function evil.clock_timestamp() returns timestamptz language sql as $$ select evil.call('2000-01-01'::timestamptz) $$;
         create function evil.pg_notify(text, text) returns void language sql as $$ select evil.call(1); $$;
         create table evil.streams (stream text); create table evil.events (stream text, kind text);
         create temporary table streams (stream text); create temporary table objects (id bigint);
         create type pg_temp.text as (evil int); create domain pg_temp.jsonb as pg_catalog.int4;
         set search_path = evil, pg_temp, pg_catalog",
    )
    .await;
    let insert = "insert into tocsin.events (stream, kind) values ('$room/r', 'room.published')";
    assert_eq!(refusal(&app, insert).await, DENIED);
    assert_eq!(refusal(&app, "insert into tocsin.events (stream, kind) values ('b', 'row.inserted')").await, DENIED);
    run(&app, "insert into tocsin.events (stream, kind) values ('b', 'k')").await;
    run(&app, &message("b", "right")).await;
    run(&app, "insert into tocsin.messages (box_id, body, folder) values ('b', 'too', '/f')").await;
    run(&app, "update tocsin.messages set body = 'changed' where body = 'too'; delete from tocsin.messages where body = 'changed'").await;
    run(&app, "select tocsin.publish('room', 't', users => '{u}'), tocsin.publish_to_room('r')").await;
    assert_eq!(value::<i64>(&app, "select pg_catalog.count(*) from evil.called").await, 0);
    let data: Vec<Option<String>> = column(&owner, "select data #>> '{attributes,TextContent}' from tocsin.events where stream = 'default/b' and kind = 'object.created' order by seq").await;
    assert_eq!(data, [Some("right".to_owned()), Some("too".to_owned())]);
    assert_exact(&owner).await;
}

#[tokio::test]
async fn rows_of_watched_tables_are_not_for_writers() {
    let (_database, owner, app) = written_by_app().await;
    run(
        &owner,
        "create table salaries (id int primary key, amount int); select tocsin.watch('salaries', 'id', 'b');
         insert into salaries values (1, 4711); update salaries set amount = 4712",
    )
    .await;
    run(&app, &message("b", "mine")).await;
    let all = "select count(*) from tocsin.messages where box_id = 'b'";
    assert_eq!((value::<i64>(&owner, all).await, value::<i64>(&app, all).await), (3, 1));
    // A function that is cheap, and tells what it is shown.
    run(
        &app,
        "create function pg_temp.tell(value jsonb) returns boolean language plpgsql cost 0.0000001 as $$
         begin raise warning 'shown %', value; if value::text like '%471%' then raise 'leaked'; end if; return true; end $$",
    )
    .await;
    run(&app, "select 1 from tocsin.messages where pg_temp.tell(attributes)").await;
    run(&app, "delete from tocsin.messages where pg_temp.tell(attributes)").await;
    run(&app, "select 1 from tocsin.messages where pg_temp.tell(attributes)").await;
    assert_eq!((value::<i64>(&owner, all).await, value::<i64>(&app, all).await), (2, 0));
    assert_eq!(refusal(&app, "select * from salaries").await, DENIED);
}

#[tokio::test]
async fn a_role_with_nothing_can_do_nothing() {
    let (database, owner, _) = written_by_app().await;
    let (role, nobody) = database.role("nobody").await;
    let names = "select format(case when p.oid is null then 'select * from %s' else 'select %s' end, coalesce(p.call, c.name))
        from (select oid, oid::regclass::text as name from pg_class where relnamespace = 'tocsin'::regnamespace and relkind in ('r', 'p', 'v', 'S')) c
        full join (select oid, format('tocsin.%I(%s)', proname, (select string_agg(format('null::%s', format_type(t, null)), ',')
                   from unnest(proargtypes) t)) as call from pg_proc where pronamespace = 'tocsin'::regnamespace and prorettype <> 'trigger'::regtype and not proisstrict) p on false";
    let statements: Vec<String> = column(&owner, names).await;
    assert!(statements.len() > 150, "{}", statements.len());
    for statement in &statements {
        assert_eq!(refusal(&nobody, statement).await, DENIED, "{statement}");
    }
    // Not even with the name of the schema.
    run(&owner, &format!("grant usage on schema tocsin to {role}")).await;
    for statement in &statements {
        assert_eq!(refusal(&nobody, statement).await, DENIED, "{statement}");
    }
    assert_eq!(refusal(&nobody, "insert into tocsin.messages (box_id, body) values ('b', 'x')").await, DENIED);
    assert_eq!(refusal(&nobody, "insert into tocsin.events (stream, kind) values ('b', 'x')").await, DENIED);
    let trigger = "create temporary table t (id int); create trigger t after insert on t for each row execute function tocsin.watched()";
    assert_eq!(refusal(&nobody, trigger).await, DENIED);
}

#[tokio::test]
async fn who_may_only_connect_hears_no_event_and_forges_none() {
    let (database, server, sql) = served().await;
    let (role, nobody) = database.role("nobody").await;
    let mut follower = Follower::start(&server).await;
    let url = database.url().replace("://tocsin@", &format!("://{role}@"));
    let mut ears = tocsin::postgres::Database::new(&url).unwrap().connect("ears").await.unwrap();
    ears.client.batch_execute("listen tocsin; listen tocsin_doorbell").await.unwrap();
    assert_eq!(refusal(&nobody, "select channel from tocsin.doorbell").await, DENIED);
    none(&nobody, "select query from pg_stat_activity where query like '%listen tocsin%' and usename <> current_user")
        .await;
    assert!(doorbell(&sql).await.len() > 32);
    let forged = r#"{"stream": "default/b", "seq": 2, "kind": "object.created", "object_id": 1,
        "edited_at": "2030-01-01T00:00:00Z", "data": {"attributes": {"TextContent": "forged"}}}"#;
    run(&nobody, &format!("select pg_notify('tocsin', '{forged}')")).await;
    assert!(ears.notifications.recv().await.unwrap().payload().contains("forged"));
    run(&sql, &message("b", "genuine")).await;
    follower.takes(2, 2).await;
    run(&sql, &format!("notify {}", doorbell(&sql).await)).await;
    run(&nobody, "notify tocsin_doorbell").await;
    assert_eq!(ears.notifications.recv().await.unwrap().channel(), "tocsin_doorbell", "nothing was heard before");
    server.stop().await;
}
