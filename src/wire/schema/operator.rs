//! What operators see.

use utoipa::ToSchema;

/// A box.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "store": "default", "boxId": "tel:+19585550100", "events": 7,
    "lastEventAt": "2026-11-28T03:12:14.813764Z", "objects": 5, "subscriptions": 1 }))]
pub struct BoxFigures {
    /// Its store.
    store: String,
    /// Its id.
    box_id: String,
    /// How many events there were.
    events: i64,
    /// When the newest was written.
    last_event_at: String,
    /// Objects in it; 1001 says: more than 1000.
    #[schema(maximum = 1001)]
    objects: i64,
    /// Subscriptions to it; 1001 says: more than 1000.
    #[schema(maximum = 1001)]
    subscriptions: i64,
}

/// A page of boxes.
#[derive(ToSchema)]
pub struct BoxPage {
    /// The boxes.
    results: Vec<BoxFigures>,
    /// Where the next ones are.
    next: Option<String>,
}

/// A channel.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "id": "01a1f", "owner": "tel:+19585550100", "type": "webhooks",
    "to": "https://client.example", "createdAt": "2026-11-28T03:12:14.813764Z", "expiresAt": "2026-11-28T04:12:14.813764Z",
    "disabledSince": null, "reason": null, "subscriptions": 1 }))]
pub struct ChannelFigures {
    /// Its id.
    id: String,
    /// Its user; what a subscription or an inbox brings with it has the name of the stream instead.
    owner: String,
    /// Its type, `notifyURL`, or the way of an inbox.
    #[schema(rename = "type")]
    kind: String,
    /// Where it is posted to: the origin of the URL only.
    to: Option<String>,
    /// When it was made.
    created_at: String,
    /// When it ends.
    expires_at: String,
    /// Since when nothing is delivered.
    disabled_since: Option<String>,
    /// Why nothing is delivered.
    reason: Option<String>,
    /// Its subscriptions; 1001 says: more than 1000.
    #[schema(maximum = 1001)]
    subscriptions: i64,
}

/// A page of channels.
#[derive(ToSchema)]
pub struct ChannelPage {
    /// The channels.
    results: Vec<ChannelFigures>,
    /// Where the next ones are.
    next: Option<String>,
}

/// A subscription.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "id": "01a20", "store": "default", "boxId": "tel:+19585550100",
    "channel": "01a1f", "subscriber": null, "expiresAt": "2026-11-28T04:12:14.813764Z", "nextIndex": 8, "behind": 0,
    "confirmedAt": "2026-11-28T03:12:14.813764Z" }))]
pub struct SubscriptionFigures {
    /// Its id.
    id: String,
    /// The store of its box.
    store: String,
    /// The id of its box.
    box_id: String,
    /// The id of the channel where it delivers.
    channel: String,
    /// Who made it, if callers are told apart.
    subscriber: Option<String>,
    /// When it ends.
    expires_at: String,
    /// The index of the next nmsEventList.
    next_index: i64,
    /// Events since what was confirmed; not all of them need be wanted.
    behind: i64,
    /// When something was confirmed last.
    confirmed_at: Option<String>,
}

/// A page of subscriptions.
#[derive(ToSchema)]
pub struct SubscriptionPage {
    /// The subscriptions.
    results: Vec<SubscriptionFigures>,
    /// Where the next ones are.
    next: Option<String>,
}

/// A channel that is pushed or posted to.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "channel": "01a1f", "owner": "tel:+19585550100", "type": "webhooks",
    "to": "https://client.example", "state": "failing", "node": "9f1c2a7b0d3e", "waiting": 12,
    "failingSince": "2026-11-28T03:12:14.813764Z", "attempts": 3, "lastError": "HTTP 503",
    "nextAttemptAt": "2026-11-28T03:12:18.813764Z", "disabledSince": null }))]
pub struct SenderFigures {
    /// The channel's id.
    channel: String,
    /// Its user; what a subscription or an inbox brings with it has the name of the stream instead.
    owner: String,
    /// Its type, `notifyURL`, or the way of an inbox.
    #[schema(rename = "type")]
    kind: String,
    /// Where it is posted to: the origin of the URL only.
    to: Option<String>,
    /// Whether attempts succeed, fail, or are not made any more.
    state: SenderState,
    /// The node that sends.
    node: Option<String>,
    /// Events that may have to be sent; not all of them need be wanted.
    waiting: i64,
    /// Since when every attempt has failed.
    failing_since: Option<String>,
    /// Failures in a row.
    attempts: i32,
    /// Why the last one failed.
    last_error: Option<String>,
    /// When the next attempt is due.
    next_attempt_at: Option<String>,
    /// Since when nothing is tried any more.
    disabled_since: Option<String>,
}

/// Whether attempts succeed.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum SenderState {
    /// The last one did, or there was none.
    Fine,
    /// They are made again and again.
    Failing,
    /// None is made, until somebody enables the channel.
    Disabled,
}

/// A page of channels that are sent to.
#[derive(ToSchema)]
pub struct SenderPage {
    /// The channels.
    results: Vec<SenderFigures>,
    /// Where the next ones are.
    next: Option<String>,
}

/// A node on the database.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "id": "9f1c2a7b0d3e", "version": "0.1.0", "address": "10.0.0.7:8080",
    "since": "2026-11-28T03:12:14.813764Z", "state": "asleep", "leases": 12, "thisNode": true }))]
pub struct NodeFigures {
    /// Its id, while it runs.
    id: String,
    /// The version of the program; null when it is lost.
    version: Option<String>,
    /// Where it listens; null when it is lost.
    address: Option<String>,
    /// Since when it has followed the log without interruption.
    since: Option<String>,
    /// Whether it follows the log.
    state: NodeState,
    /// Channels that it sends to; 1001 says: more than 1000.
    #[schema(maximum = 1001)]
    leases: i64,
    /// Whether it is the one that answers.
    this_node: bool,
}

/// Whether a node follows the log.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum NodeState {
    /// It reads it again and again.
    Awake,
    /// It waits to be rung.
    Asleep,
    /// It is not connected, and holds leases until they run out.
    Lost,
}

/// The nodes.
#[derive(ToSchema)]
pub struct Nodes {
    /// The nodes.
    results: Vec<NodeFigures>,
}
