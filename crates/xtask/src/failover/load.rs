//! A steady load of small writes, and when each was acknowledged.
//!
//! Writes are sent by the clock, whatever became of those before, to each node in turn; so a node
//! that is away costs its own writes and does not slow the others down.
//!
//! Invariant: a time is noted when the answer is there, on the clock that events are noted on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hstore_proto::etcdserverpb::PutRequest;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;

/// How often a write is sent: how finely a gap is seen.
pub(super) const EVERY: Duration = Duration::from_millis(2);
/// How long a write is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The load, until it is dropped.
pub(super) struct Load {
    times: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl Load {
    /// Starts writing through each of these in turn.
    pub(super) fn start(channels: Vec<Channel>) -> Load {
        let times = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(write(channels, Arc::clone(&times)));
        Load { times, task }
    }

    /// How many writes were acknowledged in the last moments.
    pub(super) fn count_within(&self, last: Duration) -> usize {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |time: &&Instant| time.elapsed() < last;
        times.iter().rev().take_while(recent).count()
    }

    /// The longest time without an acknowledged write in which `from` is or that begins after it,
    /// until `to`.
    pub(super) fn gap(&self, from: Instant, to: Instant) -> Duration {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        longest(&times, from, to)
    }

    /// Forgets times that nobody asks for any more.
    pub(super) fn forget_before(&self, before: Instant) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let old = times.partition_point(|time| *time < before);
        times.drain(..old);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn longest(times: &[Instant], from: Instant, to: Instant) -> Duration {
    let first = times.partition_point(|time| *time <= from);
    let mut last = match first.checked_sub(1) {
        Some(before) => times[before],
        None => from,
    };
    let mut longest = Duration::ZERO;
    let after = times[first..].iter().copied().filter(|time| *time < to);
    for time in after.chain([to]) {
        longest = longest.max(time.saturating_duration_since(last));
        last = time;
    }
    longest
}

async fn write(channels: Vec<Channel>, times: Arc<Mutex<Vec<Instant>>>) {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    let mut number: usize = 0;
    loop {
        clock.tick().await;
        while under_way.try_join_next().is_some() {}
        number += 1;
        let mut client = KvClient::new(channels[number % channels.len()].clone());
        let request = PutRequest {
            key: format!("failover/{:03}", number % 500).into(),
            value: vec![b'v'; 64].into(),
            ..PutRequest::default()
        };
        let times = Arc::clone(&times);
        under_way.spawn(async move {
            if let Ok(Ok(_)) = timeout(PATIENCE, client.put(request)).await {
                // The time is taken inside, so that the times are in order.
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                times.push(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_begins_with_the_last_write_before_the_event() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let times = [at(1), at(2), at(90), at(100), at(130), at(500)];
        let gap = |from, to| longest(&times, at(from), at(to)).as_millis();
        assert_eq!(gap(10, 140), 88);
        assert_eq!(gap(95, 140), 30);
        assert_eq!(
            gap(135, 300),
            170,
            "a gap that has not ended counts as far as it goes"
        );
        assert_eq!(longest(&[], at(5), at(25)).as_millis(), 20);
    }
}
