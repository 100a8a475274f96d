//! The message store client of Samsung's phones, in its long-polling build.
//!
//! It creates a channel, subscribes the channel's callbackURL to its box from the restartToken it has saved, and then
//! polls the channelURL without end, one list a poll. It reads JSON with Gson: unknown members are ignored, numbers may
//! be texts, but an object where it expects an array is fatal. What it saves between two runs is the channel, the
//! subscription, and the index and restartToken of the last list.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tocsin::config::Limits;

use crate::support::client::{Answer, Api};
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::{PATIENCE, eventually};

/// The user, as it stands in URLs; the box has the same name.
const LINE: &str = "tel%3A%2B19585550100";

/// What is left of a poll, in the phone's eyes.
#[derive(Debug, PartialEq)]
enum Polled {
    /// 200 (or 206) with a `notificationList` that is an array, perhaps an empty one: poll again at once.
    Fine,
    /// 409: another poll of the same channel; check the subscription, then poll again.
    Conflict,
    /// 404: the channel is gone; create another.
    Gone,
    /// Anything else, be it a 200 without a list: back off.
    Failed,
}

/// How a poll is written: there are builds that send nothing at all.
#[derive(Clone, Copy)]
enum Body {
    Null,
    Nothing,
}

/// A phone, and what it remembers.
#[derive(Clone)]
struct Phone {
    api: Api,
    body: Body,
    channel_url: String,
    callback_url: String,
    resource_url: String,
    subscription_url: String,
    /// Of the last list.
    index: i64,
    restart_token: String,
    /// Indexes that were skipped: lists that it would have to ask for again.
    gaps: Vec<(i64, i64)>,
    /// The objects it was told of, by URL.
    objects: Vec<String>,
    resets: usize,
}

impl Phone {
    fn new(server: &Server, body: Body) -> Phone {
        Phone {
            api: server.api.clone(),
            body,
            channel_url: String::new(),
            callback_url: String::new(),
            resource_url: String::new(),
            subscription_url: String::new(),
            index: 0,
            restart_token: String::new(),
            gaps: Vec::new(),
            objects: Vec::new(),
            resets: 0,
        }
    }

    /// Every request says who asks and what is read; other headers of its own (`x-att-...`, `device_id`) mean nothing.
    async fn send(&self, method: Method, url: &str, body: Option<String>) -> Answer {
        let headers = [
            ("authorization", "Bearer 0123456789"),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("x-att-clientId", "0001"),
            ("device_id", "urn:gsma:imei:35824005-944763-1"),
        ];
        self.api.send(method, url, &headers, body).await
    }

    /// The correlator and the tag are always there and always empty: they must not make two creates one. Only 201 is
    /// success, and there must be a channelURL.
    async fn creates_its_channel(&mut self) {
        let wish = json!({ "notificationChannel": {
            "applicationTag": "", "channelData": { "maxNotifications": 1 }, "channelLifetime": 86400,
            "channelType": "LongPolling", "clientCorrelator": "" } });
        let path = format!("/notificationchannel/v1/{LINE}/channels");
        let answer = self.send(Method::POST, &path, Some(wish.to_string())).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let channel = &answer.json()["notificationChannel"];
        self.channel_url = text(&channel["channelData"]["channelURL"]);
        self.callback_url = text(&channel["callbackURL"]);
        self.resource_url = text(&channel["resourceURL"]);
        assert_eq!(channel["channelData"]["maxNotifications"], 1);
        assert!(number(&channel["channelLifetime"]) >= 3600);
    }

    /// It starts where it stopped; an empty token is none. It needs `duration` and `index`, and takes the index for
    /// that of the next list.
    async fn subscribes(&mut self) {
        let wish = json!({ "nmsSubscription": {
            "callbackReference": { "notifyURL": self.callback_url }, "clientCorrelator": "", "duration": 86400,
            "restartToken": self.restart_token } });
        let path = format!("/nms/v1/default/{LINE}/subscriptions");
        let answer = self.send(Method::POST, &path, Some(wish.to_string())).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let subscription = &answer.json()["nmsSubscription"];
        assert!(number(&subscription["duration"]) > 86000, "an hour would be renewed all the time");
        self.subscription_url = text(&subscription["resourceURL"]);
        self.index = number(&subscription["index"]) - 1;
        self.restart_token = text(&subscription["restartToken"]);
    }

    /// Before a poll it looks at its subscription's age, and renews it when less than 360 s are left, with both fields:
    /// also a plain renewal carries the last token, from which nothing must come again.
    async fn renews_its_subscription(&mut self) {
        let update = json!({ "nmsSubscriptionUpdate": { "duration": 86400, "restartToken": self.restart_token } });
        let answer = self.send(Method::POST, &self.subscription_url, Some(update.to_string())).await;
        assert!([200, 206].contains(&answer.status.as_u16()), "{}", answer.text);
        let subscription = &answer.json()["nmsSubscription"];
        assert!(number(&subscription["duration"]) > 86000);
        assert_eq!(number(&subscription["index"]), self.index + 1, "the index goes on");
    }

    /// The PUT comes without Authorization.
    async fn refreshes_its_channel(&self) {
        let wish = json!({ "notificationChannelLifetime": { "channelLifetime": 86400 } }).to_string();
        let headers = [("content-type", "application/json")];
        let url = format!("{}/channelLifetime", self.resource_url);
        let answer = self.api.send(Method::PUT, &url, &headers, Some(wish)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(number(&answer.json()["notificationChannelLifetime"]["channelLifetime"]), 86400);
    }

    async fn polls(&mut self) -> Polled {
        let body = match self.body {
            Body::Null => Some(r#"{"longPollingRequestParameters":null}"#.to_owned()),
            Body::Nothing => None,
        };
        let answer = self.send(Method::POST, &self.channel_url, body).await;
        match answer.status.as_u16() {
            200 | 206 => {}
            404 => return Polled::Gone,
            409 => return Polled::Conflict,
            _ => return Polled::Failed,
        }
        let Ok(list) = serde_json::from_str::<Value>(&answer.text) else { return Polled::Failed };
        let Some(list) = list["notificationList"].as_array() else { return Polled::Failed };
        for notification in list {
            self.takes(&notification["nmsEventList"]);
        }
        Polled::Fine
    }

    /// One nmsEventList. A list without a link makes it fail, and so does one of another subscription.
    fn takes(&mut self, list: &Value) {
        let link = &list["link"][0];
        assert!(text(&link["rel"]).eq_ignore_ascii_case("NmsSubscription"));
        let last_segment = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
        assert_eq!(last_segment(&text(&link["href"])), last_segment(&self.subscription_url));
        let index = number(&list["index"]);
        if index > self.index + 1 {
            self.gaps.push((self.index + 1, index));
        }
        self.index = index;
        self.restart_token = text(&list["restartToken"]);
        for (n, event) in list["nmsEvent"].as_array().unwrap().iter().enumerate() {
            if n == 0 && event.get("resetBox").is_some() {
                self.resets += 1;
            }
            for kind in ["changedObject", "deletedObject", "expiredObject"] {
                if let Some(object) = event.get(kind) {
                    self.objects.push(object_url(object));
                }
            }
        }
    }

    /// Polls as long as there is something to fetch.
    async fn polls_until_told_of(&mut self, objects: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.objects.len() < objects {
            assert!(Instant::now() < deadline, "told of {} objects only", self.objects.len());
            let before = self.objects.len();
            assert_eq!(self.polls().await, Polled::Fine);
            assert!(self.objects.len() <= before + 1, "maxNotifications is 1: only the first list of a poll counts");
        }
        assert_eq!((self.objects.len(), &self.gaps), (objects, &Vec::new()));
    }
}

/// It derives the line from the URL: the box must be a segment that decodes to something with `tel:+`. URLs must be
/// absolute, or decoding fails as a whole.
fn object_url(object: &Value) -> String {
    let url = text(&object["resourceURL"]);
    assert!(url.starts_with("http") && url.contains(LINE), "{url}");
    if let Some(folder) = object.get("parentFolder") {
        assert!(text(folder).starts_with("http"));
    }
    url
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Gson reads a number that is written as a text.
fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}

/// Messages for the phone's box.
async fn arrive(database: &Database, count: usize) {
    let insert = format!(
        "insert into tocsin.messages (box_id, body)
         select 'tel:+19585550100', i::text from generate_series(1, {count}) as i"
    );
    database.connect().await.batch_execute(&insert).await.unwrap();
}

/// A server whose polls are open for so long.
async fn server(database: &Database, poll_seconds: u32) -> Server {
    Server::start_with(database, Limits { poll_seconds, ..Limits::default() }).await
}

#[tokio::test]
async fn a_phone_follows_its_box() {
    let database = Database::new().await;
    let server = server(&database, 1).await;
    for (round, body) in [Body::Null, Body::Nothing].into_iter().enumerate() {
        let mut phone = Phone::new(&server, body);
        phone.creates_its_channel().await;
        phone.subscribes().await;
        assert_eq!(phone.index, 0);
        assert_eq!(phone.polls().await, Polled::Fine, "nothing came: that is an empty array, and no failure");
        arrive(&database, 3).await;
        phone.polls_until_told_of(3).await;
        phone.renews_its_subscription().await;
        phone.refreshes_its_channel().await;
        assert_eq!(phone.polls().await, Polled::Fine);
        assert_eq!((phone.objects.len(), phone.resets), (3, 0), "nothing comes again after a renewal");
        arrive(&database, 2).await;
        phone.polls_until_told_of(5).await;
        assert_eq!(phone.index, 5);

        // What it was told of can be fetched.
        let object = phone.send(Method::GET, &phone.objects[0], None).await;
        assert_eq!(object.status, 200);
        assert_eq!(text(&object.json()["object"]["resourceURL"]), phone.objects[0]);

        // The empty correlator of this channel and of the earlier one are not the same.
        let list = server.api.get(&format!("/notificationchannel/v1/{LINE}/channels")).await.json();
        assert_eq!(list["notificationChannelList"]["notificationChannel"].as_array().unwrap().len(), round + 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_phone_that_polls_twice_is_told_and_polls_again() {
    let database = Database::new().await;
    let server = server(&database, 25).await;
    let mut phone = Phone::new(&server, Body::Null);
    phone.creates_its_channel().await;
    phone.subscribes().await;
    // Its network was gone and is back: the poll of before is still open on the server.
    let mut forgotten = phone.clone();
    let forgotten = tokio::spawn(async move { forgotten.polls().await });
    let open = async || (server.api.get("/readyz").await.json()["connections"] == 1).then_some(());
    eventually("the first poll is open", open).await;
    let next = async {
        let sql = database.connect().await;
        let superseded = "select 1 from tocsin.events where kind = 'channel.opened'";
        eventually("the second poll took over", async || sql.query_opt(superseded, &[]).await.unwrap()).await;
        arrive(&database, 1).await;
    };
    let (polled, ()) = tokio::join!(phone.polls(), next);
    assert_eq!((polled, phone.objects.len()), (Polled::Fine, 1), "the newer poll gets what comes");
    assert_eq!(forgotten.await.unwrap(), Polled::Conflict);
    phone.renews_its_subscription().await;
    arrive(&database, 2).await;
    phone.polls_until_told_of(3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_phone_that_was_away_goes_on_where_it_stopped() {
    let database = Database::new().await;
    let server = server(&database, 1).await;
    let mut phone = Phone::new(&server, Body::Null);
    phone.creates_its_channel().await;
    phone.subscribes().await;
    arrive(&database, 2).await;
    phone.polls_until_told_of(2).await;

    // The channel's lifetime ran out meanwhile, or somebody deleted it: 204 and 200 are both fine.
    let deleted = phone.send(Method::DELETE, &phone.resource_url, None).await;
    assert!([200, 204].contains(&deleted.status.as_u16()));
    arrive(&database, 3).await;
    assert_eq!(phone.polls().await, Polled::Gone);
    assert_eq!(phone.send(Method::GET, &phone.resource_url, None).await.status, 404);
    assert_eq!(phone.send(Method::GET, &phone.subscription_url, None).await.status, 404);
    phone.creates_its_channel().await;
    phone.subscribes().await;
    phone.polls_until_told_of(5).await;
    assert_eq!((phone.index, phone.resets), (3, 0), "its lists are counted anew, and it missed none");
    let mut urls = phone.objects.clone();
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 5, "nothing came twice");
    server.stop().await;
}

/// The trick of newer builds: a refusal with SVC0002 makes it forget its token, and begin anew.
#[tokio::test]
async fn a_phone_with_a_token_of_another_store_is_refused_so_that_it_begins_anew() {
    let database = Database::new().await;
    let server = server(&database, 1).await;
    let mut phone = Phone::new(&server, Body::Null);
    phone.creates_its_channel().await;
    let wish = json!({ "nmsSubscription": {
        "callbackReference": { "notifyURL": phone.callback_url }, "clientCorrelator": "", "duration": 86400,
        "restartToken": "1492182310" } });
    let path = format!("/nms/v1/default/{LINE}/subscriptions");
    let refused = phone.send(Method::POST, &path, Some(wish.to_string())).await;
    assert_eq!((refused.status.as_u16(), refused.fault().0.as_str()), (400, "SVC0002"));
    phone.subscribes().await;
    arrive(&database, 1).await;
    phone.polls_until_told_of(1).await;
    server.stop().await;
}
