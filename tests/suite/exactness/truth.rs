//! What the log says in the end, read by SQL.

use chrono::DateTime;
use serde_json::Value;
use tocsin::wire::urls::segment;
use tokio_postgres::Client;

use super::evidence::{Entry, Log, Start, Subscription};

/// All events of boxes.
pub async fn log(sql: &Client) -> Log {
    let all = "select stream, seq, kind, object_id, edited_at, data from tocsin.events
        where stream not like '$%' order by stream, seq";
    let mut log = Log::new();
    for row in sql.query(all, &[]).await.unwrap() {
        let entry =
            Entry { seq: row.get(1), kind: row.get(2), object_id: row.get(3), at: row.get(4), data: row.get(5) };
        log.entry(row.get(0)).or_default().push(entry);
    }
    log
}

/// All subscriptions that the log tells of.
pub fn subscriptions(log: &Log, root: &str) -> Vec<Subscription> {
    let mut subscriptions = Vec::new();
    for (stream, entries) in log {
        for entry in entries.iter().filter(|entry| entry.kind == "subscription.created") {
            let box_url = format!("{root}/nms/v1/default/{}", segment(stream.strip_prefix("default/").unwrap()));
            let start = match &entry.data["clientCorrelator"] {
                Value::String(token) => Start::AfterToken(DateTime::parse_from_rfc3339(token).unwrap().to_utc()),
                _ => Start::AfterSeq(entry.seq),
            };
            let url = format!("{box_url}/subscriptions/{}", entry.data["id"].as_str().unwrap());
            subscriptions.push(Subscription { url, box_url, stream: stream.clone(), start });
        }
    }
    subscriptions
}

/// Streams whose head is not what the log says.
pub async fn wrong_heads(sql: &Client) -> Vec<String> {
    let wrong = "select format('the head of %s is %s at %s (open: %s), its newest event is %s at %s',
            s.stream, s.head_seq, s.head_at, s.open, e.seq, e.edited_at)
        from tocsin.streams s
        left join lateral (select seq, edited_at from tocsin.events e where e.stream = s.stream
                           order by seq desc limit 1) as e on true
        where s.open or (s.head_seq, s.head_at) is distinct from (e.seq, e.edited_at)";
    sql.query(wrong, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Objects that are not as their newest event left them.
pub async fn wrong_objects(sql: &Client) -> Vec<String> {
    let wrong = "select format('object %s is not as event %s of %s left it', id, newest.seq, newest.stream)
        from (select distinct on (object_id) * from tocsin.events where object_id is not null
              order by object_id, seq desc) as newest
        full join tocsin.objects o on o.id = newest.object_id
        where o.seq is distinct from newest.seq or o.edited_at is distinct from newest.edited_at
           or o.store || '/' || o.box_id is distinct from newest.stream
           or o.attributes is distinct from newest.data -> 'attributes'
           or to_jsonb(o.flags) is distinct from coalesce(newest.data -> 'flags', '[]')
           or o.gone is distinct from case newest.kind when 'object.deleted' then 'deleted'
                                                       when 'object.expired' then 'expired' end
        limit 5";
    sql.query(wrong, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
