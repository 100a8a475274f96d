//! Through everything: broken sockets, lost frames, killed servers, channels and subscriptions that are gone.

use std::sync::atomic::{AtomicI32, Ordering};

use super::*;

#[tokio::test]
async fn a_broken_socket_is_opened_again_and_nothing_is_lost() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let relay = Relay::start(&server.api.url).await;
    let client = Client::new(&relay.url).unwrap();
    let (listen, happenings) = witnessed(to_box("b"));
    let mut listener = client.listen(listen).await.unwrap();
    for round in 0..3 {
        eventually("it is open", async || (count(&happenings, "Open") > round).then_some(())).await;
        let first = round as i32 * 40 + 1;
        send(&database, "b", first..=first + 19).await;
        relay.cut();
        send(&database, "b", first + 20..=first + 39).await;
        assert_eq!(subjects(&mut listener, 40).await, (first..=first + 39).collect::<Vec<_>>());
    }
    assert!(relay.sockets() >= 3);
    assert!(count(&happenings, "problem") >= 2, "{happenings:?}");
    listener.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_list_that_is_lost_or_comes_twice_is_noticed_and_put_right() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let relay = Relay::start_with(&server.api.url, |_, nth| match nth {
        2 => 0,
        4 => 2,
        _ => 1,
    })
    .await;
    let client = Client::new(&relay.url).unwrap();
    let (listen, happenings) = witnessed(to_box("b"));
    let mut listener = client.listen(listen).await.unwrap();
    eventually("it is open", async || (relay.sockets() == 1).then_some(())).await;
    let mut seen = Vec::new();
    for number in 1..=8 {
        send(&database, "b", number..=number).await;
        // The third one alone is not missed before the next one comes.
        if number != 3 {
            let wanted = if number == 4 { 2 } else { 1 };
            seen.extend(subjects(&mut listener, wanted).await);
        }
    }
    assert_eq!(seen, (1..=8).collect::<Vec<_>>());
    assert_eq!(count(&happenings, "Gap"), 1, "{happenings:?}");
    assert_eq!((relay.sockets(), count(&happenings, "problem")), (1, 0), "{happenings:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_gone_is_made_anew() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let mut listener = client.listen(to_box("b")).await.unwrap();
    send(&database, "b", 1..=5).await;
    assert_eq!(subjects(&mut listener, 3).await[..3], [1, 2, 3]);
    let channels = server.api.get("/notificationchannel/v1/b/channels").await.json();
    let channel = channels["notificationChannelList"]["notificationChannel"][0]["resourceURL"].as_str().unwrap();
    assert_eq!(server.api.delete(channel).await.status, 204);
    send(&database, "b", 6..=10).await;
    let rest = subjects(&mut listener, 5).await;
    assert_eq!(rest.last(), Some(&10));
    assert!(rest.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{rest:?}");
    listener.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_made_anew_when_it_is_to_be_prolonged() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let wish = Wish { duration: Some(Duration::from_secs(2)), ..of_box("b") };
    let mut listener = client.listen(Listen::new("b", [wish])).await.unwrap();
    send(&database, "b", 1..=2).await;
    assert_eq!(subjects(&mut listener, 2).await, [1, 2]);
    let subscriptions = server.api.get("/nms/v1/default/b/subscriptions").await.json();
    let url = subscriptions["nmsSubscriptionList"]["subscription"][0]["resourceURL"].as_str().unwrap().to_owned();
    // One that is there is prolonged again and again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.api.delete(&url).await.status, 204, "it has outlived its duration");
    send(&database, "b", 3..=4).await;
    assert_eq!(subjects(&mut listener, 2).await, [3, 4]);
    listener.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_killed_server_is_waited_for() {
    let database = Database::new().await;
    let serve = async |listen: &str| Program::start_with(&["--database-url", database.url(), "--listen", listen]).await;
    let mut program = serve("127.0.0.1:0").await;
    let address = program.url.strip_prefix("http://").unwrap().to_owned();
    let client = Client::new(&program.url).unwrap();
    let (listen, happenings) = witnessed(to_box("b"));
    let mut listener = client.listen(listen).await.unwrap();
    let mut seen = Vec::new();
    for round in 0..3 {
        send(&database, "b", round * 50 + 1..=round * 50 + 25).await;
        program.kill().await;
        send(&database, "b", round * 50 + 26..=round * 50 + 50).await;
        program = serve(&address).await;
        seen.extend(subjects(&mut listener, 50).await);
    }
    assert_eq!(seen, (1..=150).collect::<Vec<_>>());
    assert!(count(&happenings, "problem") >= 3, "{happenings:?}");
    listener.close().await.unwrap();
    assert_eq!(program.terminate().await, Some(0));
}

#[tokio::test]
async fn a_slow_reader_gets_everything_all_the_same() {
    let database = Database::new().await;
    let limits = Limits { socket_stall_seconds: 1, socket_ping_seconds: 1, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let frames = Arc::new(AtomicI32::new(0));
    let counted = frames.clone();
    let relay = Relay::start_with(&server.api.url, move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        1
    })
    .await;
    let client = Client::new(&relay.url).unwrap();
    let (listen, happenings) = witnessed(to_box("b").lists_waiting_max(1));
    let mut listener = client.listen(listen).await.unwrap();
    eventually("it is open", async || (count(&happenings, "Open") == 1).then_some(())).await;
    for frame in 1..=4 {
        send(&database, "b", frame * 10 - 9..=frame * 10).await;
        let sent = async || (frames.load(Ordering::SeqCst) >= frame).then_some(());
        eventually("it is sent", sent).await;
    }
    eventually("the server gives up", async || {
        (server.api.get("/readyz").await.json()["connections"] == 0).then_some(())
    })
    .await;
    assert_eq!(subjects(&mut listener, 40).await, (1..=40).collect::<Vec<_>>());
    assert!(count(&happenings, "problem") >= 1, "{happenings:?}");
    listener.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_channel_outlives_its_lifetime_and_answers_checks() {
    let database = Database::new().await;
    let limits = Limits { conn_check_seconds: 1, ..Limits::default() };
    let server = Server::start_with(&database, limits).await;
    let client = Client::new(&server.api.url).unwrap();
    let (listen, happenings) = witnessed(to_box("b").lifetime(Duration::from_secs(3)));
    let listener = client.listen(listen).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let channels = server.api.get("/notificationchannel/v1/b/channels").await.json();
    assert_eq!(channels["notificationChannelList"]["notificationChannel"].as_array().unwrap().len(), 1);
    assert_eq!((count(&happenings, "Open"), count(&happenings, "problem")), (1, 0), "{happenings:?}");
    listener.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn another_connection_takes_over_and_the_stream_ends() {
    let database = Database::new().await;
    let server = Server::start(&database).await;
    let client = Client::new(&server.api.url).unwrap();
    let mut listener = client.listen(to_box("b")).await.unwrap();
    send(&database, "b", 1..=1).await;
    subjects(&mut listener, 1).await;
    let channels = server.api.get("/notificationchannel/v1/b/channels").await.json();
    let url = channels["notificationChannelList"]["notificationChannel"][0]["resourceURL"].as_str().unwrap();
    let channel = client.channel(url).await.unwrap().unwrap();
    let _other = client.open(&channel).await.unwrap();
    assert_eq!(next(&mut listener).await.unwrap().unwrap_err().status(), Some(4001));
    assert!(next(&mut listener).await.is_none());
    assert!(client.channel(url).await.unwrap().is_some(), "it is the other's now");
    server.stop().await;
}
