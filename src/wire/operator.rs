//! What operators see, in JSON only.

use serde_json::{Value, json};

use crate::base::ids::NodeId;
use crate::channel::{ChannelType, Transport};
use crate::log::event::token as moment;
use crate::operator::{
    BoxFigures, ChannelFigures, NodeFigures, NodeState, SenderFigures, SubscriptionFigures, destination,
};

/// Writes a page, and where the next one is.
pub fn page(entries: Vec<Value>, next: Option<String>) -> Value {
    json!({ "results": entries, "next": next })
}

/// Writes a box.
pub fn of_box(of: &BoxFigures) -> Value {
    json!({
        "store": of.name.store(), "boxId": of.name.box_id(), "events": of.events, "lastEventAt": moment(of.last_event_at),
        "objects": of.objects, "subscriptions": of.subscriptions,
    })
}

/// Writes a channel, without its URLs, which are secrets.
pub fn channel(of: &ChannelFigures) -> Value {
    json!({
        "id": of.id.as_str(), "owner": of.owner, "type": type_name(&of.transport), "to": destination(&of.transport),
        "createdAt": moment(of.created_at), "expiresAt": moment(of.expires_at),
        "disabledSince": of.disabled.as_ref().map(|disabled| moment(disabled.at)),
        "reason": of.disabled.as_ref().map(|disabled| &disabled.why),
        "subscriptions": of.subscriptions,
    })
}

/// Writes a subscription, without its callback's data, which are its maker's.
pub fn subscription(of: &SubscriptionFigures) -> Value {
    json!({
        "id": of.id.as_str(), "store": of.of_box.store(), "boxId": of.of_box.box_id(), "channel": of.channel.as_str(),
        "subscriber": of.subscriber, "expiresAt": moment(of.expires_at), "nextIndex": of.next_index,
        "behind": of.behind, "confirmedAt": of.confirmed_at.map(moment),
    })
}

/// Writes a channel that is sent to.
pub fn sender(of: &SenderFigures) -> Value {
    let state = match (of.disabled_at, of.failing_since) {
        (Some(_), _) => "disabled",
        (None, Some(_)) => "failing",
        (None, None) => "fine",
    };
    json!({
        "channel": of.channel.as_str(), "owner": of.owner, "type": type_name(&of.transport),
        "to": destination(&of.transport), "state": state, "node": of.node, "waiting": of.waiting,
        "failingSince": of.failing_since.map(moment), "attempts": of.attempts, "lastError": of.last_error,
        "nextAttemptAt": of.retry_at.map(moment), "disabledSince": of.disabled_at.map(moment),
    })
}

/// Writes a node, and whether it is this one.
pub fn node(of: &NodeFigures, this: &NodeId) -> Value {
    let state = match of.state {
        NodeState::Awake => "awake",
        NodeState::Asleep => "asleep",
        NodeState::Lost => "lost",
    };
    json!({
        "id": of.id, "version": of.version, "address": of.address, "since": of.since.map(moment), "state": state,
        "leases": of.leases, "thisNode": of.id == this.as_str(),
    })
}

/// The type of a channel of the API, and what others are.
fn type_name(transport: &Transport) -> &str {
    match transport {
        Transport::NotifyUrl { .. } => "notifyURL",
        Transport::Inbox { way, .. } => way,
        _ => transport.channel_type().map_or("", ChannelType::name),
    }
}
