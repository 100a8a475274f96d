//! What strangers send, read by our decoders: whatever it is, it is understood or refused, and nothing panics.

use tocsin::base::ids::BoxName;
use tocsin::channel::ChannelType;
use tocsin::mime::{Head, Outline};

use tocsin::config::Limits;
use tocsin::wire::json::{Fields, Media};
use tocsin::wire::{callback, nc, nms, xml};

/// Takes any input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 6] =
    [("json", json), ("xml", xml), ("form", form), ("socket", socket), ("token", token), ("multipart", multipart)];

/// Everything that reads a body.
fn read_all(media: Media, body: &[u8]) {
    let fields = |root: &str| Fields::read(media, body, root);
    let types = ChannelType::ALL.map(|(channel_type, _)| channel_type);
    let _ = fields("notificationChannel").and_then(|fields| nc::read_channel(fields, &types));
    let _ = fields("notificationChannelLifetime").and_then(nc::read_lifetime);
    let _ = fields("nmsSubscription").and_then(nms::read_subscription);
    let of = BoxName::parse("store", "box").expect("a box");
    let _ = fields("object").and_then(|fields| nms::read_object(fields, &of));
    let _ = fields("objectList").and_then(|fields| nms::read_object_list(fields, &of));
    let _ = fields("nmsSubscriptionUpdate").and_then(nms::read_subscription_update);
    let of = BoxName::parse("default", "b").expect("a box");
    let _ = fields("selectionCriteria").and_then(|fields| nms::read_selection(&of, fields, &Limits::default()));
}

pub fn json(body: &[u8]) {
    let _ = callback::read_json(body);
    read_all(Media::Json, body);
}

/// What was understood can be written, and is then understood as the same (but that blank text is as good as none).
pub fn xml(body: &[u8]) {
    read_all(Media::Xml, body);
    let _ = callback::read_xml(body);
    if xml::read(body).is_ok() {
        let ours = written(&written(body));
        assert_eq!(written(&ours), ours);
    }
}

fn written(body: &[u8]) -> Vec<u8> {
    let (root, value) = xml::read(body).expect("our own XML is well-formed");
    xml::write(&serde_json::json!({ root: value })).into_bytes()
}

pub fn form(body: &[u8]) {
    read_all(Media::Form, body);
}

/// A message on a WebSocket.
pub fn socket(message: &[u8]) {
    let _ = nc::read_from_client(&String::from_utf8_lossy(message));
}

/// A restartToken.
pub fn token(text: &[u8]) {
    let _ = nms::parse_token(&String::from_utf8_lossy(text));
}

/// A payload in parts, with the boundary `b`: however it is cut, its outline is the same, and its parts lie within it.
pub fn multipart(body: &[u8]) {
    let head = Head::parse(b"Content-Type: multipart/mixed; boundary=b");
    let outline = |piece: usize| {
        let mut outline = Outline::new(&head, 100);
        let taken = body.chunks(piece).try_for_each(|piece| outline.take(piece));
        taken.and_then(|()| outline.end())
    };
    let whole = outline(body.len().max(1));
    assert_eq!(outline(1), whole);
    assert_eq!(outline(7), whole);
    let mut at = 0;
    for part in whole.map(|(parts, _)| parts).unwrap_or_default() {
        assert!(part.offset >= at && part.size <= part.length);
        at = part.offset + part.length;
    }
    assert!(at <= body.len() as u64);
}
