//! A node leaves: it says so, takes nobody in, and sends its clients to the others one by one.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tocsin::channel::leases::LEASE;
use tocsin::postgres::Database as Pool;
use tokio_tungstenite::tungstenite::Error;

use crate::support::client::{Api, EventList, Socket};
use crate::support::eventually;
use crate::support::poll::Poller;
use crate::support::postgres::Database;
use crate::support::raw::Raw;
use crate::support::server::{Program, Server};
use crate::support::stand_in::{StandIn, reply};

/// A channelURL on another node.
fn on(node: &str, channel: &Value) -> String {
    let url = channel["channelData"]["channelURL"].as_str().unwrap();
    let (_, path) = url.split_once("/ws/").unwrap();
    format!("{}/ws/{path}", node.replace("http", "ws"))
}

async fn leaves(api: &Api) {
    eventually("the node says that it leaves", async || {
        let ready = api.get("/readyz").await;
        (ready.json()["draining"] == true).then(|| assert_eq!(ready.status, 503))
    })
    .await;
}

/// What one client saw.
struct Client {
    channel: Value,
    socket: Socket,
    seen: Vec<EventList>,
    /// Of these, before the close.
    received: usize,
    closed_at: Instant,
    token: String,
}

impl Client {
    async fn open(api: &Api) -> Client {
        let channel = api.channel("alice").await;
        let subscription = api.subscribe("b", &channel).await;
        let socket = Socket::open(&channel).await;
        let token = subscription["restartToken"].as_str().unwrap().to_owned();
        Client { channel, socket, seen: Vec::new(), received: 0, closed_at: Instant::now(), token }
    }

    /// Reads until the server closes, which must say where to go on.
    async fn until_closed(&mut self) {
        let (lists, (code, reason)) = self.socket.lists_until_closed().await;
        self.closed_at = Instant::now();
        self.seen.extend(lists);
        assert_eq!(code, 1001, "{reason}");
        let (_, token) = reason.split_once("; restartToken=").expect("where to go on");
        self.received = self.seen.len();
        self.token = token.to_owned();
    }

    /// Goes on on another node until it has seen `count` lists in all.
    async fn goes_on(&mut self, node: &str, count: usize) {
        self.socket = Socket::try_open(&on(node, &self.channel)).await.unwrap();
        while self.seen.len() < count {
            let list = self.socket.list().await;
            match self.seen.get(list.index as usize - 1) {
                Some(before) => assert_eq!((&before.token, before.seq()), (&list.token, list.seq())),
                None => {
                    assert_eq!(list.index as usize, self.seen.len() + 1, "nothing is skipped");
                    self.seen.push(list);
                }
            }
        }
        let missed = self.seen.get(self.received).map(|list| &list.token);
        assert!(missed.is_none_or(|missed| *missed > self.token), "{missed:?}, told to go on from {}", self.token);
    }
}

/// The closes are spread, each says where to go on, and nothing is lost on the way to the other node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_leave_one_by_one() {
    const SOCKETS: usize = 200;
    const WINDOW: Duration = Duration::from_secs(3);
    const WRITTEN: usize = 30;
    let database = Database::new().await;
    let a = Server::start_as(&database, |config| config.drain_seconds = WINDOW.as_secs()).await;
    let b = Server::start(&database).await;
    let mut clients = Vec::new();
    while clients.len() < SOCKETS {
        clients.extend(join_all((0..20).map(|_| Client::open(&a.api))).await);
    }
    let sql = database.connect().await;
    let writing = async {
        for n in 0..WRITTEN {
            let insert = format!("insert into tocsin.messages (box_id, body) values ('b', '{n}')");
            sql.batch_execute(&insert).await.unwrap();
            tokio::time::sleep(WINDOW / 20).await; // some before, some after the last close
        }
    };
    let began = Instant::now();
    tokio::join!(a.stop(), writing, join_all(clients.iter_mut().map(Client::until_closed)));
    let after: Vec<Duration> = clients.iter().map(|client| client.closed_at - began).collect();
    let early = after.iter().filter(|after| **after < WINDOW / 5).count();
    assert!(early < SOCKETS * 2 / 5, "{early} of them in the first fifth");
    let (first, last) = (after.iter().min().unwrap(), after.iter().max().unwrap());
    assert!(*last - *first > WINDOW / 2, "from {first:?} to {last:?}");
    for batch in clients.chunks_mut(20) {
        join_all(batch.iter_mut().map(|client| client.goes_on(&b.api.url, WRITTEN))).await;
    }
    // The restartToken alone will do, too.
    for client in clients.iter().step_by(40) {
        let channel = b.api.channel("bob").await;
        b.api.subscribe_with("b", &channel, json!({ "restartToken": client.token })).await;
        let mut socket = Socket::open(&channel).await;
        let rest: Vec<_> = client.seen.iter().filter(|list| list.token > client.token).collect();
        for list in &rest {
            assert_eq!(socket.list().await.seq(), list.seq());
        }
    }
    b.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_takes_nobody_in_and_answers_open_polls() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let api = server.api.clone();
    let polled = api.channel_with("alice", json!({ "channelType": "LongPolling" })).await;
    let poll_url = polled["channelData"]["channelURL"].as_str().unwrap();
    let (channel, other) = (api.channel("alice").await, api.channel("alice").await);
    let mut poller = Poller::connect(poll_url).await;
    poller.ask().await;
    let _mute = Raw::open(&channel).await; // answers no Close: the node waits for it for a while
    eventually("both are open", async || (api.get("/readyz").await.json()["connections"] == 2).then_some(())).await;
    let stopping = tokio::spawn(server.stop());
    leaves(&api).await;
    let refused = api.post(poll_url, json!({ "longPollingRequestParameters": null })).await;
    assert_eq!((refused.status.as_u16(), refused.fault().0.as_str()), (503, "SVC2001"));
    assert_eq!(refused.header("retry-after"), "1");
    match Socket::try_open(&on(&api.url, &other)).await {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "1");
        }
        Err(fault) => panic!("{fault}"),
        Ok(_) => panic!("a socket was taken in"),
    }
    assert_eq!(api.get(other["resourceURL"].as_str().unwrap()).await.status, 200, "other requests are served");
    assert!(api.get("/metrics").await.text.contains("\ntocsin_draining 1\n"));
    assert_eq!(poller.answer().await.notifications(), &Vec::<Value>::new(), "at once, not after its time");
    stopping.await.unwrap();
}

/// Its leases are given up at once, not when its sockets are closed.
#[tokio::test]
async fn webhooks_go_on_on_another_node_while_the_first_one_drains() {
    let database = Database::new().await;
    let client = StandIn::start(|_, _| reply(204, &[], "")).await;
    let start = || Server::start_as(&database, |config| config.allow_private_targets = true);
    let a = start().await;
    let data = json!({ "channelType": "Webhooks", "channelData": { "x-webhookURL": client.url } });
    let channel = a.api.channel_with("alice", data).await;
    a.api.subscribe("b", &channel).await;
    let sql = database.connect().await;
    let insert = "insert into tocsin.messages (box_id, body) values ('b', 'x')";
    sql.batch_execute(insert).await.unwrap();
    eventually("a posts", async || (client.received().len() == 1).then_some(())).await;
    let b = start().await;
    let held = a.api.channel("alice").await;
    let _mute = Raw::open(&held).await;
    let api = a.api.clone();
    let began = Instant::now();
    let stopping = tokio::spawn(a.stop());
    leaves(&api).await;
    sql.batch_execute(insert).await.unwrap();
    let last = eventually("b posts", async || client.received().get(1).cloned()).await;
    assert!(began.elapsed() < LEASE - Duration::from_secs(2), "the lease did not run out: {:?}", began.elapsed());
    let posted: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(posted["notificationList"][0]["nmsEventList"]["index"], 2, "what was confirmed does not come again");
    stopping.await.unwrap();
    b.stop().await;
}

#[tokio::test]
async fn asked_twice_it_ends_at_once() {
    let database = Database::new().await;
    let arguments = ["--database-url", database.url(), "--listen", "127.0.0.1:0", "--drain-seconds", "600"];
    // Asked once, it leaves in good order, without waiting for nobody.
    let program = Program::start_with(&arguments).await;
    let channel = program.api.channel("alice").await;
    let mut socket = Socket::open(&channel).await;
    let began = Instant::now();
    let (code, (_, (close, _))) = tokio::join!(program.terminate(), socket.lists_until_closed());
    assert_eq!((code, close), (Some(0), 1001));
    assert!(began.elapsed() < Duration::from_secs(20), "one socket does not take the whole window");
    let program = Program::start_with(&arguments).await;
    let mute = Raw::open(&program.api.channel("alice").await).await;
    let connected = async || (program.api.get("/readyz").await.json()["connections"] == 1).then_some(());
    eventually("it is open", connected).await;
    program.ask_to_stop();
    leaves(&program.api).await;
    assert_eq!(program.terminate().await, Some(1), "not in good order");
    drop(mute);
    assert!(Pool::new(database.url()).unwrap().get().await.is_ok(), "and the database is not its own to stop");
}
