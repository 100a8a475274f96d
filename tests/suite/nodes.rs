//! Several nodes on one database.

use serde_json::{Value, json};

use crate::support::client::Socket;
use crate::support::eventually;
use crate::support::postgres::Database;
use crate::support::server::Server;

/// The channel, as a client finds it on this node.
fn on(server: &Server, channel: &Value) -> Value {
    let mut channel = channel.clone();
    let url = channel["channelData"]["channelURL"].as_str().unwrap();
    let (_, path) = url.split_once("/ws/").unwrap();
    channel["channelData"]["channelURL"] = json!(format!("{}/ws/{path}", server.api.url.replace("http", "ws")));
    channel
}

fn path<'a>(resource: &'a Value, field: &str) -> &'a str {
    let url = resource[field].as_str().unwrap();
    &url[url.find("/n").unwrap()..]
}

#[tokio::test]
async fn whatever_is_made_on_one_node_works_on_another() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let channel = a.api.channel("alice").await;
    let subscription = b.api.subscribe("b", &channel).await;
    assert_eq!(
        b.api.get(path(&channel, "resourceURL")).await.json()["notificationChannel"]["channelType"],
        "WebSockets"
    );
    let mut socket = Socket::open(&on(&b, &channel)).await;
    let sql = database.connect().await;
    sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', '1')").await.unwrap();
    assert_eq!(socket.list().await.index, 1);
    // A subscription made on one node, and a reposition asked of it, reach the socket on the other.
    let two = a.api.subscribe("c", &channel).await;
    sql.batch_execute("insert into tocsin.messages (box_id, body) values ('c', '1')").await.unwrap();
    assert!(socket.list().await.subscription.ends_with(path(&two, "resourceURL")), "each node has its own address");
    let early = json!({ "restartToken": subscription["restartToken"] });
    let answer = a.api.post(path(&subscription, "resourceURL"), early).await;
    assert_eq!(answer.json()["nmsSubscription"]["index"], 2);
    let again = socket.list().await;
    assert_eq!((again.index, again.seq()), (2, 2));
    assert_eq!(a.api.delete(path(&channel, "resourceURL")).await.status, 204);
    assert_eq!(socket.closed().await.0, 4002);
    assert_eq!(b.api.get(path(&channel, "resourceURL")).await.status, 404);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_new_socket_on_one_node_supersedes_the_old_one_on_another() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let channel = a.api.channel("alice").await;
    a.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let mut next = 1;
    for round in 0..3 {
        let (older, newer) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let mut old = Socket::open(&on(older, &channel)).await;
        sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'x')").await.unwrap();
        loop {
            let index = old.list().await.index;
            assert!(index <= next, "nothing is skipped");
            if index == next {
                break;
            }
        }
        let mut new = Socket::open(&on(newer, &channel)).await;
        assert_eq!(old.closed().await.0, 4001, "and no list came before");
        sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'x')").await.unwrap();
        loop {
            let index = new.list().await.index;
            assert!(index <= next + 1);
            if index == next + 1 {
                break;
            }
        }
        next += 2;
        new.close().await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_node_that_was_deaf_learns_that_its_socket_is_superseded() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let channel = a.api.channel("alice").await;
    let sql = database.connect().await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where application_name like 'tocsin tail%' and datname = current_database()";
    let opened = "select count(*) from tocsin.events where kind = 'channel.opened'";
    for n in 0..3 {
        let mut old = Socket::open(&on(&a, &channel)).await;
        eventually("the log says that it is open", async || {
            (sql.query_one(opened, &[]).await.unwrap().get::<_, i64>(0) == 2 * n + 1).then_some(())
        })
        .await;
        // Until the tails follow the log again, whatever is written is only to be found there.
        sql.query_one(cut, &[]).await.unwrap();
        let new = Socket::open(&on(&b, &channel)).await;
        assert_eq!(old.closed().await.0, 4001);
        new.close().await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_client_moves_on_when_its_node_dies() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let channel = a.api.channel("alice").await;
    a.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let insert = "insert into tocsin.messages (box_id, body) select 'b', i::text from generate_series(1, 50) as i";
    let mut socket = Socket::open(&channel).await;
    sql.batch_execute(insert).await.unwrap();
    let first = socket.lists(50).await;
    socket.vanish();
    a.stop().await;
    sql.batch_execute(insert).await.unwrap();
    let mut socket = Socket::open(&on(&b, &channel)).await;
    let list = socket.list().await;
    assert!(list.index <= 51, "{}", list.index);
    if let Some(before) = first.get(list.index as usize - 1) {
        assert_eq!((&list.token, list.seq()), (&before.token, before.seq()), "what comes again is what came before");
    }
    let rest = socket.lists(100 - list.index as usize).await;
    assert!(rest.iter().enumerate().all(|(n, next)| next.index == list.index + 1 + n as i64));
    b.stop().await;
}

#[tokio::test]
async fn every_node_is_told_of_every_event() {
    let database = Database::new().await;
    let (a, b) = (Server::start(&database).await, Server::start(&database).await);
    let mut sockets = Vec::new();
    for server in [&a, &b] {
        let channel = server.api.channel("alice").await;
        server.api.subscribe("b", &channel).await;
        sockets.push(Socket::open(&channel).await);
    }
    let ready = async || {
        let (a, b) = (a.api.get("/readyz").await.json(), b.api.get("/readyz").await.json());
        (a["connections"] == 1 && b["connections"] == 1).then_some(())
    };
    eventually("each node has its socket", ready).await;
    let sql = database.connect().await;
    for n in 1..=30 {
        sql.batch_execute("insert into tocsin.messages (box_id, body) values ('b', 'x')").await.unwrap();
        for socket in &mut sockets {
            assert_eq!(socket.list().await.index, n);
        }
    }
    a.stop().await;
    b.stop().await;
}

/// How many events the node has read of the log.
async fn tailed(server: &Server) -> i64 {
    server.api.get("/readyz").await.json()["tail"]["events"].as_i64().unwrap()
}

#[tokio::test]
async fn a_node_reads_little_of_what_its_clients_do_not_want_and_misses_nothing_they_do() {
    const OTHERS: i64 = 4000;
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let channel = server.api.channel("alice").await;
    server.api.subscribe("mine", &channel).await;
    let mut socket = Socket::open(&channel).await;
    let sql = database.connect().await;
    // It learns from what it reads that others' boxes are busy...
    let busy =
        "insert into tocsin.messages (box_id, body) select 'other' || i % 50, 'x' from generate_series(1, 1000) i";
    eventually("the node has read of them", async || {
        sql.batch_execute(busy).await.unwrap();
        (tailed(&server).await > 1000).then_some(())
    })
    .await;
    let before = tailed(&server).await;
    // ...and leaves them out, but for a look now and then.
    let mut wanted = 0;
    for i in 0..OTHERS {
        let to = if i % 200 == 0 { "mine".to_owned() } else { format!("other{}", i % 50) };
        wanted += i64::from(to == "mine");
        sql.execute("insert into tocsin.messages (box_id, body) values ($1, 'y')", &[&to]).await.unwrap();
        if i == OTHERS / 2 {
            // What is followed in the middle of it is not missed.
            server.api.subscribe("late", &channel).await;
            sql.batch_execute("insert into tocsin.messages (box_id, body) values ('late', '1')").await.unwrap();
        }
    }
    let (mut mine, mut late) = (0, 0);
    while mine < wanted || late < 1 {
        let list = socket.list().await;
        if list.events[0]["changedObject"]["resourceURL"].as_str().unwrap().contains("/late/") {
            late += 1;
        } else {
            mine += 1;
            assert_eq!(list.index, mine);
        }
    }
    let read = tailed(&server).await - before;
    assert!(read < OTHERS / 2, "of {OTHERS} events {read} were read");
    server.stop().await;
}
