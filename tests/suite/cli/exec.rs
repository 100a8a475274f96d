//! `tocsin listen --exec`: commands that fail, take their time, do not read, or are to be stopped.

use super::*;

impl Listener {
    async fn exec(server: &Server, command: &str) -> Listener {
        Listener::start(&server.api.url, &["--exec", command]).await
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
    }

    /// Its exit code, and what else is printed until its end.
    async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let mut rest = Vec::new();
        while let Some(line) = timeout(PATIENCE, self.lines.next_line()).await.expect("it does not end").unwrap() {
            rest.push(line);
        }
        (self.child.wait().await.unwrap().code(), rest)
    }
}

#[tokio::test]
async fn commands_run_one_by_one_and_in_order_however_they_end() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    // None reads its stdin; the second one is killed, the third one fails.
    let command = "echo begin $TOCSIN_INDEX; [ $TOCSIN_INDEX = 2 ] && kill -9 $$; [ $TOCSIN_INDEX != 3 ] && echo end";
    let mut listener = Listener::exec(&server, command).await;
    write(&database, 4).await;
    for expected in ["begin 1", "end", "begin 2", "begin 3", "begin 4", "end"] {
        assert_eq!(listener.line().await, expected);
    }
    assert_eq!(listener.interrupt().await, (Some(0), vec![]));
    server.stop().await;
}

#[tokio::test]
async fn a_command_under_way_ends_before_we_do() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let dir = tempfile::tempdir().unwrap();
    let go_on = dir.path().join("go-on");
    let command = format!("echo begin; until [ -e {} ]; do sleep 0.05; done; echo end", go_on.display());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let _ = std::fs::remove_file(&go_on);
        let mut listener = Listener::exec(&server, &command).await;
        write(&database, 3).await;
        assert_eq!(listener.line().await, "begin");
        listener.signal(signal);
        std::fs::write(&go_on, "").unwrap();
        assert_eq!(listener.ended().await, (Some(0), vec!["end".to_owned()]), "and no other is begun");
    }
    let channels = server.api.get("/notificationchannel/v1/alice/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn asked_twice_the_command_is_killed() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut listener = Listener::exec(&server, "echo $$; exec sleep 600").await;
    write(&database, 1).await;
    let command = Pid::from_raw(listener.line().await.parse().unwrap());
    listener.signal(Signal::SIGTERM);
    // Two that come at once are one.
    eventually("it ends", async || {
        listener.signal(Signal::SIGTERM);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        kill(command, None).is_err().then_some(())
    })
    .await;
    assert_eq!(listener.ended().await, (Some(0), vec![]));
    server.stop().await;
}

#[tokio::test]
async fn a_slow_command_costs_neither_the_channel_nor_a_notification() {
    let database = Database::new().await;
    let limits = Limits { channel_lifetime_seconds_default: 3, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let mut listener = Listener::exec(&server, "[ $TOCSIN_INDEX = 1 ] && sleep 5; echo $TOCSIN_INDEX").await;
    let channel = psql(database.url(), "select string_agg(id, ' ') from tocsin.channels").await;
    for _ in 0..5 {
        write(&database, 1).await;
    }
    for index in 1..=5 {
        assert_eq!(listener.line().await, index.to_string());
    }
    assert_eq!(psql(database.url(), "select string_agg(id, ' ') from tocsin.channels").await, channel);
    assert_eq!(listener.interrupt().await, (Some(0), vec![]));
    server.stop().await;
}

#[tokio::test]
async fn who_reads_no_more_is_no_fault() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let mut listener = Listener::start(&server.api.url, &[]).await;
    write(&database, 1).await;
    listener.line().await;
    let Listener { mut child, lines } = listener;
    drop(lines);
    let ended = async || {
        write(&database, 1).await;
        child.try_wait().unwrap()
    };
    assert_eq!(eventually("it ends", ended).await.code(), Some(0));
    let channels = server.api.get("/notificationchannel/v1/alice/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"], json!([]));
    server.stop().await;
}
