//! A histogram for what is observed at every event: without a lock, which that of prometheus-client takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Durations in seconds, counted by how long they are.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The largest of each bucket but the last, rising.
    bounds: &'static [f64],
    /// One more than there are bounds.
    buckets: Box<[AtomicU64]>,
    /// An integer can be added to without trying again: it holds some centuries.
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Nothing was observed yet.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Inner { bounds, buckets, nanoseconds: AtomicU64::new(0) }))
    }

    /// One more. Nothing is shorter than no time.
    pub fn observe(&self, seconds: f64) {
        let Inner { bounds, buckets, nanoseconds } = &*self.0;
        let at = bounds.partition_point(|bound| *bound < seconds);
        buckets[at].fetch_add(1, Ordering::Relaxed);
        nanoseconds.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed); // (negative and NaN: 0)
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let Inner { bounds, buckets, nanoseconds } = &*self.0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let counts = buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Their sum, rather than a number of its own that may have been read at another moment.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(nanoseconds.load(Ordering::Relaxed) as f64 / 1e9, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_is_observed_is_counted_by_how_long_it_is() {
        let histogram = Histogram::new(&[0.01, 0.5]);
        for seconds in [0.0, 0.01, 0.02, 0.5, 7.0, -1.0] {
            histogram.observe(seconds);
        }
        let mut registry = Registry::default();
        registry.register("took", "What it took", histogram);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE took histogram",
            "took_sum 7.53",
            "took_count 6",
            "took_bucket{le=\"0.01\"} 3",
            "took_bucket{le=\"0.5\"} 5",
            "took_bucket{le=\"+Inf\"} 6",
        ] {
            assert!(text.lines().any(|said| said == line), "{line}: {text}");
        }
    }
}
