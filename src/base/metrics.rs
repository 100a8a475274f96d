//! What is measured: one field for each metric, with its name and what it means where it is made ([`Metrics::new`]).
//! docs/OPERATIONS.md says what to do about them.
//!
//! A metric is a number that its owner changes in place, without a lock; with a label it is a family, whose members are
//! looked up once, when a connection or a task begins. What is a state rather than a sum (queues, the pool, the
//! doorbell) is looked at when somebody asks, in `http::metrics`. Labels come from small fixed sets: never an id, a token
//! or a URL.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{counter, gauge};
use prometheus_client::registry::{Metric, Registry};

use super::histogram::Histogram;

/// Rises only.
pub type Counter = counter::Counter<u64, AtomicU64>;
/// Rises and falls.
pub type Gauge = gauge::Gauge;
/// A gauge of seconds, or of a moment as seconds since 1970.
pub type Seconds = gauge::Gauge<f64, AtomicU64>;
/// Durations in seconds, counted by how long they are.
pub type Durations = Histogram;
/// A family with one label.
pub type By<M> = Family<[(&'static str, &'static str); 1], M>;
/// A family with two labels.
pub type ByTwo<M> = Family<[(&'static str, &'static str); 2], M>;
/// A request: the template of its route, its method, and, when it has been answered, the status.
pub type OfRequest<const N: usize> = [(&'static str, String); N];

/// Bounds of what should take no time: waiting for a connection, the way of an event to this node and out of it.
const SHORT: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0];
/// Bounds of requests, ours and our clients'; polls take up to half a minute.
const REQUEST: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Makes the histograms of a family.
type MakeDurations = fn() -> Durations;
/// A family of histograms.
type DurationsBy<L> = Family<L, Durations, MakeDurations>;

fn of_requests() -> Durations {
    Histogram::new(REQUEST)
}

fn short() -> Durations {
    Histogram::new(SHORT)
}

/// Everything that a node measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,

    /// Whether the server is leaving.
    pub draining: Gauge,

    /// Events that the tail read.
    pub log_events: Counter,
    /// Its reads.
    pub log_reads: Counter,
    /// Since the last of them.
    pub log_read_age: Seconds,
    /// How old its newest event was when it was read.
    pub log_lag: Seconds,
    /// The same of each read that brought something.
    pub log_delays: Durations,
    /// The moment of the newest event.
    pub log_last_event: Seconds,
    /// The moment up to which the log has partitions.
    pub log_partitions_end: Seconds,
    /// For how long the oldest open transaction that writes has been seen.
    pub horizon_age: Seconds,
    /// Objects that have no terms yet.
    pub terms_waiting: Gauge,
    /// What waits for its time.
    pub deferred_waiting: Gauge,
    /// How late the first of it is.
    pub deferred_late: Seconds,

    /// By `state`, 1 for the one it is in.
    pub doorbell_state: By<Gauge>,
    /// Heard.
    pub doorbell_rings: Counter,
    /// Copies of events that rings carried.
    pub doorbell_copies: Counter,
    /// Our own NOTIFY, there and back.
    pub doorbell_round_trip: Seconds,
    /// By `outcome`.
    pub doorbell_probes: By<Counter>,

    /// Open connections by `state`.
    pub pool_connections: By<Gauge>,
    /// Most of them.
    pub pool_connections_max: Gauge,
    /// Who waits now.
    pub pool_waiting: Gauge,
    /// What waiting took.
    pub pool_waits: Durations,
    /// In vain.
    pub pool_failures: Counter,

    /// Followed here, by `transport`.
    pub channels_connected: By<Gauge>,
    /// Whose queue was dropped and who have not come back to it yet.
    pub channels_lagging: Gauge,
    /// In all queues.
    pub queue_events: Gauge,
    /// In the longest of them.
    pub queue_events_max: Gauge,
    /// Because they were full.
    pub queues_dropped: Counter,
    /// Not stored yet.
    pub confirmations_waiting: Gauge,

    /// By `transport`.
    pub notifications: By<Counter>,
    /// By `transport`.
    pub lists: By<Counter>,
    /// By `transport`.
    pub list_bytes: By<Counter>,
    /// By `transport`: how old the oldest live event was that went out.
    pub send_delays: DurationsBy<[(&'static str, &'static str); 1]>,
    /// Events that sources were offered, by what they made of them: `outcome`.
    pub matches: By<Counter>,
    /// Sent on sockets that ended before they were confirmed.
    pub socket_unconfirmed: Counter,
    /// Pages of the log that channels read.
    pub replayed_pages: Counter,
    /// Events on them.
    pub replayed_events: Counter,

    /// By `reason`.
    pub socket_closes: By<Counter>,
    /// Writes that a client did not take promptly.
    pub socket_stalls: Counter,
    /// Those that wait now.
    pub sockets_stalled: Gauge,

    /// By `transport` and `outcome`.
    pub outbound_attempts: ByTwo<Counter>,
    /// By `transport`.
    pub outbound_seconds: DurationsBy<[(&'static str, &'static str); 1]>,
    /// Senders that wait after a failure.
    pub outbound_backing_off: Gauge,
    /// Channels given up, by `transport`.
    pub outbound_disabled: By<Counter>,
    /// Channels that this node sends to.
    pub outbound_leases: Gauge,

    /// Open now, WebSockets included.
    pub connections: Gauge,
    /// Not taken in, by `reason`.
    pub connections_refused: By<Counter>,
    /// Ended because their client was too slow, by `reason`.
    pub connections_cut: By<Counter>,
    /// TLS handshakes that failed.
    pub handshakes_failed: Counter,
    /// Requests whose body stalled.
    pub bodies_stalled: Counter,

    /// Refused because there were too many, `by` what was counted.
    pub requests_refused: By<Counter>,
    /// By route, method and status.
    pub requests: Family<OfRequest<3>, Counter>,
    /// By route and method, until the head of the answer.
    pub request_seconds: DurationsBy<OfRequest<2>>,
}

impl Metrics {
    /// All at zero.
    #[rustfmt::skip] // a table
    pub fn new() -> Self {
        let mut t = Table(Registry::default());
        t.0.register("tocsin_build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        t.add::<Seconds>("process_start_time_seconds", "When it was started, in seconds since 1970").set(now());
        Metrics {
            draining: t.add("tocsin_draining", "1 while the server is leaving"),

            log_events: t.add("tocsin_log_events_total", "Events that the tail of the log read"),
            log_reads: t.add("tocsin_log_reads_total", "Reads of the tail"),
            log_read_age: t.add("tocsin_log_read_age_seconds", "Time since the last read of the tail"),
            log_lag: t.add("tocsin_log_lag_seconds", "How old the last event was when the tail read it"),
            log_delays: t.durations("tocsin_log_delay_seconds", "How old the newest event was, for each read that brought some", SHORT),
            log_last_event: t.add("tocsin_log_last_event_timestamp_seconds", "The editedAt of the last event, in seconds since 1970"),
            log_partitions_end: t.add("tocsin_log_partitions_end_timestamp_seconds", "Up to when the log has partitions, in seconds since 1970"),
            horizon_age: t.add("tocsin_horizon_age_seconds", "For how long the oldest open transaction that writes has been seen"),
            terms_waiting: t.add("tocsin_terms_waiting", "Objects that searches for texts look at one by one, since they have no terms yet"),
            deferred_waiting: t.add("tocsin_deferred_waiting", "What is deferred and waits for its time"),
            deferred_late: t.add("tocsin_deferred_late_seconds", "How late the first of what is deferred is"),

            doorbell_state: t.add("tocsin_doorbell_state", "1 for the state the doorbell is in"),
            doorbell_rings: t.add("tocsin_doorbell_rings_total", "Rings heard"),
            doorbell_copies: t.add("tocsin_doorbell_copies_total", "Copies of events that rings brought"),
            doorbell_round_trip: t.add("tocsin_doorbell_round_trip_seconds", "Our own NOTIFY there and back, as last measured"),
            doorbell_probes: t.add("tocsin_doorbell_probes_total", "NOTIFYs of our own, heard and lost"),

            pool_connections: t.add("tocsin_pool_connections", "Connections of the pool"),
            pool_connections_max: t.add("tocsin_pool_connections_limit", "Connections that the pool may open"),
            pool_waiting: t.add("tocsin_pool_waiting", "Who waits for a connection"),
            pool_waits: t.durations("tocsin_pool_wait_seconds", "How long a connection was waited for", SHORT),
            pool_failures: t.add("tocsin_pool_failures_total", "Connections waited for in vain"),

            channels_connected: t.add("tocsin_channels_connected", "Channels followed by this node"),
            channels_lagging: t.add("tocsin_channels_lagging", "Channels whose queue was dropped and not looked at since"),
            queue_events: t.add("tocsin_queue_events", "Events waiting in the queues of all channels"),
            queue_events_max: t.add("tocsin_queue_longest_events", "Events waiting in the longest queue"),
            queues_dropped: t.add("tocsin_queues_dropped_total", "Queues dropped because they were full: their clients are slow"),
            confirmations_waiting: t.add("tocsin_confirmations_waiting", "Confirmed positions that are not stored yet"),

            notifications: t.add("tocsin_notifications_total", "Notifications handed to a transport"),
            lists: t.add("tocsin_notification_lists_total", "notificationLists handed to a transport"),
            list_bytes: t.add("tocsin_notification_bytes_total", "Size of the notificationLists handed to a transport"),
            send_delays: t.family("tocsin_send_delay_seconds", "How old the oldest event was that came live, each time that lists of such were handed to a transport", short),
            matches: t.add("tocsin_events_matched_total", "Events offered to subscriptions, and whether their filter wanted them"),
            replayed_pages: t.add("tocsin_replayed_pages_total", "Pages of the log read for single channels"),
            replayed_events: t.add("tocsin_replayed_events_total", "Events on these pages"),

            socket_closes: t.add("tocsin_socket_closes_total", "WebSockets that ended"),
            socket_unconfirmed: t.add("tocsin_socket_unconfirmed_notifications_total", "Notifications on WebSockets that ended before these were confirmed: they are sent again"),
            socket_stalls: t.add("tocsin_socket_stalls_total", "Writes to a WebSocket that its client did not take promptly"),
            sockets_stalled: t.add("tocsin_sockets_stalled", "WebSockets whose client does not take what is written"),

            outbound_attempts: t.add("tocsin_outbound_attempts_total", "Attempts to push or post"),
            outbound_seconds: t.family("tocsin_outbound_attempt_seconds", "What attempts took", of_requests),
            outbound_backing_off: t.add("tocsin_outbound_backing_off", "Senders that wait after a failure"),
            outbound_disabled: t.add("tocsin_outbound_disabled_total", "Channels given up by this node"),
            outbound_leases: t.add("tocsin_outbound_leases", "Channels that this node sends to"),

            connections: t.add("tocsin_http_connections", "Open connections, WebSockets included"),
            connections_refused: t.add("tocsin_http_connections_refused_total", "Connections that were not taken in: there were too many"),
            connections_cut: t.add("tocsin_http_connections_cut_total", "Connections ended because their client was too slow"),
            handshakes_failed: t.add("tocsin_tls_handshakes_failed_total", "TLS handshakes that failed"),
            bodies_stalled: t.add("tocsin_http_bodies_stalled_total", "Requests given up because their body stalled"),

            requests_refused: t.add("tocsin_http_requests_refused_total", "Requests refused because a user or an address asks for too much"),
            requests: t.add("tocsin_http_requests_total", "Requests answered"),
            request_seconds: t.family("tocsin_http_request_seconds", "Time to the head of the answer; of a poll, how long it was open", of_requests),

            registry: t.0,
        }
    }

    /// In the text format of OpenMetrics.
    ///
    /// # Errors
    /// None that can occur: a `String` takes everything.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What is counted of one transport.
    pub fn traffic(&self, transport: &'static str) -> Traffic {
        let label = [("transport", transport)];
        Traffic {
            notifications: self.notifications.get_or_create_owned(&label),
            lists: self.lists.get_or_create_owned(&label),
            bytes: self.list_bytes.get_or_create_owned(&label),
            delays: self.send_delays.get_or_create_owned(&label),
            wanted: self.matches.get_or_create_owned(&[("outcome", "wanted")]),
            unwanted: self.matches.get_or_create_owned(&[("outcome", "unwanted")]),
            _connected: Counted::new(&self.channels_connected.get_or_create(&label)),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

/// Of one transport, held by one that is connected, which is counted as such meanwhile.
#[derive(Debug)]
pub struct Traffic {
    notifications: Counter,
    lists: Counter,
    bytes: Counter,
    delays: Durations,
    wanted: Counter,
    unwanted: Counter,
    _connected: Counted,
}

/// What became of the events that a connection was offered, since that was last taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Notifications in the lists that are ready.
    pub notifications: u64,
    /// Events that a subscription wanted.
    pub wanted: u64,
    /// Events that were offered to a subscription because it could want them, and that it did not want.
    pub unwanted: u64,
    /// The oldest event in these lists that was taken as it came, rather than read from the log.
    pub live_since: Option<DateTime<Utc>>,
}

impl Traffic {
    /// These lists go out.
    pub fn count(&self, lists: &[String], tally: &Tally) {
        self.wanted.inc_by(tally.wanted);
        self.unwanted.inc_by(tally.unwanted);
        if lists.is_empty() {
            return;
        }
        self.notifications.inc_by(tally.notifications);
        self.lists.inc_by(lists.len() as u64);
        self.bytes.inc_by(lists.iter().map(String::len).sum::<usize>() as u64);
        if let Some(since) = tally.live_since {
            self.delays.observe(seconds((Utc::now() - since).to_std().unwrap_or_default())); // (the clocks may differ)
        }
    }
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// From now on.
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A duration, or the time since 1970.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn now() -> f64 {
    seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Metrics by their names.
struct Table(Registry);

impl Table {
    fn add<M: Metric + Default + Clone>(&mut self, name: &str, help: &str) -> M {
        self.put(name, help, M::default())
    }

    fn durations(&mut self, name: &str, help: &str, bounds: &'static [f64]) -> Durations {
        self.put(name, help, Histogram::new(bounds))
    }

    fn family<L>(&mut self, name: &str, help: &str, make: MakeDurations) -> DurationsBy<L>
    where
        L: Clone + std::hash::Hash + Eq,
        MakeDurations: MetricConstructor<Durations>,
        DurationsBy<L>: Metric,
    {
        self.put(name, help, Family::new_with_constructor(make))
    }

    fn put<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        // The ending of counters is added again when they are written.
        self.0.register(name.trim_end_matches("_total"), help, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let metrics = Metrics::new();
        drop(metrics.traffic("websocket"));
        let text = metrics.text().unwrap();
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let all = names.len();
        assert!(all > 25, "{text}"); // (families without members are left out)
        for name in &names {
            assert!(name.starts_with("tocsin_") || name.starts_with("process_"), "{name}");
            assert!(!name.contains("_total_") && !name.contains("_total "), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(text.contains("tocsin_notifications_total{transport=\"websocket\"} 0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn who_is_gone_is_counted_no_more() {
        let metrics = Metrics::new();
        let one = metrics.traffic("polling");
        drop(metrics.traffic("polling"));
        assert!(metrics.text().unwrap().contains("tocsin_channels_connected{transport=\"polling\"} 1\n"));
        one.count(&["12345".to_owned(), "678".to_owned()], &Tally { notifications: 3, ..Tally::default() });
        drop(one);
        let text = metrics.text().unwrap();
        for line in ["channels_connected{transport=\"polling\"} 0", "notification_bytes_total{transport=\"polling\"} 8"]
        {
            assert!(text.contains(&format!("tocsin_{line}\n")), "{text}");
        }
    }
}
