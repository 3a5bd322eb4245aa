//! The last seconds, as the difference between the newest look and the oldest that is kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hstore_core::id::NodeId;
use hstore_node::Node;
use hstore_proto::hstore::v1::{CallRate, Timing};
use tokio::time::Instant;

use crate::grpc::{Method, UNARY, methods};
use crate::meter::{CALLS, Counter, LOG_SYNC, STORE_COMMIT, Times};
use crate::process::Stat;

/// How many looks are kept: what is told speaks of the time between the first and the last.
const LOOKS: usize = 11;

/// The most calls that are told of.
const CALLS_MAX: usize = 16;

/// Whose calls are about keys.
const KEYS: [&str; 2] = ["etcdserverpb.KV", "hstore.v1.Kv"];

/// What was counted until one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    at: Instant,
    cpu: Duration,
    pub(super) log_sync: Times,
    pub(super) store_commit: Times,
    /// What was ever called, by its place in the table.
    calls: BTreeMap<usize, Called>,
    /// How many heartbeats each peer answered, and how long all of them took.
    peers: BTreeMap<NodeId, (u64, Duration)>,
}

#[derive(Clone, Debug, Default)]
struct Called {
    began: u64,
    failed: u64,
    times: Times,
}

impl Sample {
    /// As of now.
    pub(super) fn take(node: &Node) -> Sample {
        let called = CALLS.iter().enumerate().filter_map(|(place, meter)| {
            let began = meter.started.get();
            let called = || Called {
                began,
                failed: meter.handled[1..].iter().map(Counter::get).sum(),
                times: meter.seconds.times(),
            };
            (began > 0).then(|| (place, called()))
        });
        let trips = node.round_trips().into_iter();
        Sample {
            at: Instant::now(),
            cpu: Stat::read().map_or(Duration::ZERO, |stat| stat.cpu()),
            log_sync: LOG_SYNC.times(),
            store_commit: STORE_COMMIT.times(),
            calls: called.collect(),
            peers: trips
                .map(|(peer, trips)| (peer, (trips.count, trips.sum)))
                .collect(),
        }
    }
}

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
}

impl Window {
    /// Takes the newest look and lets the oldest go.
    pub(super) fn add(&mut self, sample: Sample) {
        if self.samples.len() == LOOKS {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn ends(&self) -> Option<(&Sample, &Sample)> {
        Some((self.samples.front()?, self.samples.back()?))
    }

    /// How long the window is.
    pub(super) fn length(&self) -> Duration {
        self.ends()
            .map_or(Duration::ZERO, |(first, last)| last.at - first.at)
    }

    /// How long something took.
    pub(super) fn timing(&self, of: impl Fn(&Sample) -> &Times) -> Timing {
        let between = self.ends().map(|(first, last)| of(last).since(of(first)));
        timing(&between.unwrap_or_default())
    }

    /// How long the calls about keys took that are no streams.
    pub(super) fn requests(&self) -> Timing {
        let all = self
            .between()
            .filter(|(place, _)| is_about_keys(*place))
            .fold(Times::default(), |sum, (_, called)| sum.and(&called.times));
        timing(&all)
    }

    /// How many of them began in a second.
    pub(super) fn requests_per_second(&self) -> f64 {
        let began = self
            .between()
            .filter(|(place, _)| is_about_keys(*place))
            .map(|(_, called)| called.began)
            .sum();
        self.per_second(began)
    }

    /// What was called, the most frequent first.
    pub(super) fn calls(&self) -> Vec<CallRate> {
        let mut called: Vec<(usize, Called)> = self
            .between()
            .filter(|(_, called)| called.began > 0 || called.failed > 0)
            .collect();
        called.sort_by_key(|(place, called)| (std::cmp::Reverse(called.began), *place));
        called.truncate(CALLS_MAX);
        let last = self.samples.back();
        let rate = |(place, called): (usize, Called)| {
            let total = last.and_then(|last| last.calls.get(&place));
            let total = total.map_or((0, 0), |total| (total.began, total.failed));
            let method = methods()[place];
            CallRate {
                call: format!("{}/{}", method.service, method.name),
                per_second: self.per_second(called.began),
                failed_per_second: self.per_second(called.failed),
                timing: is_unary(method).then(|| timing(&called.times)),
                total: total.0,
                failed_total: total.1,
            }
        };
        called.into_iter().map(rate).collect()
    }

    /// How many heartbeats each peer answered, and how long one took on average.
    pub(super) fn peers(&self) -> impl Iterator<Item = (NodeId, u64, Duration)> {
        let ends = self.ends().into_iter();
        ends.flat_map(|(first, last)| {
            last.peers.iter().filter_map(|(peer, (count, sum))| {
                let before = first.peers.get(peer).copied().unwrap_or_default();
                let count = count.saturating_sub(before.0);
                let mean = sum.saturating_sub(before.1).checked_div(count as u32)?;
                Some((*peer, count, mean))
            })
        })
    }

    /// How many thousandths of a processor were busy.
    pub(super) fn cpu_thousandths(&self) -> u64 {
        let spent = self.ends().map_or(Duration::ZERO, |(first, last)| {
            last.cpu.saturating_sub(first.cpu)
        });
        self.per_second(spent.as_millis() as u64) as u64
    }

    /// What was called between the ends, by its place.
    fn between(&self) -> impl Iterator<Item = (usize, Called)> {
        let ends = self.ends().into_iter();
        ends.flat_map(|(first, last)| {
            last.calls.iter().map(|(place, now)| {
                let before = first.calls.get(place).cloned().unwrap_or_default();
                let called = Called {
                    began: now.began.saturating_sub(before.began),
                    failed: now.failed.saturating_sub(before.failed),
                    times: now.times.since(&before.times),
                };
                (*place, called)
            })
        })
    }

    fn per_second(&self, count: u64) -> f64 {
        let seconds = self.length().as_secs_f64();
        if seconds > 0.0 {
            count as f64 / seconds
        } else {
            0.0
        }
    }
}

fn is_unary(method: Method) -> bool {
    method.kind == UNARY
}

fn is_about_keys(place: usize) -> bool {
    let method = methods()[place];
    is_unary(method) && KEYS.contains(&method.service)
}

fn timing(times: &Times) -> Timing {
    Timing {
        count: times.count(),
        p50_us: times.percentile(50),
        p99_us: times.percentile(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: u64, began: u64, failed: u64) -> Sample {
        let place = |name: &str| methods().iter().position(|method| method.name == name);
        let called = Called {
            began,
            failed,
            times: Times::default(),
        };
        let epoch = Instant::now();
        Sample {
            at: epoch + Duration::from_secs(seconds),
            cpu: Duration::from_millis(100 * seconds),
            log_sync: Times::default(),
            store_commit: Times::default(),
            calls: ["Put", "Watch"]
                .map(|name| (place(name).unwrap(), called.clone()))
                .into(),
            peers: BTreeMap::from([(NodeId(2), (seconds, Duration::from_millis(3 * seconds)))]),
        }
    }

    #[test]
    fn rates_are_those_of_the_last_seconds_alone() {
        let mut window = Window::default();
        assert_eq!((window.length(), window.calls()), (Duration::ZERO, vec![]));
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(async {
                for second in 0..100 {
                    window.add(sample(second, 1000 + 50 * second, 5 * second));
                }
            });
        assert_eq!(window.samples.len(), LOOKS);
        assert_eq!(window.length(), Duration::from_secs(10));
        let calls = window.calls();
        let [put, watch] = &calls[..] else {
            panic!("{calls:?}")
        };
        assert_eq!(put.call, "etcdserverpb.KV/Put");
        assert_eq!((put.total, put.failed_total), (5950, 495));
        assert!((put.per_second - 50.0).abs() < 1e-6, "{put:?}");
        assert!((put.failed_per_second - 5.0).abs() < 1e-6, "{put:?}");
        assert!(watch.timing.is_none() && put.timing.is_some());
        // A stream of watches is no request about keys.
        assert!((window.requests_per_second() - 50.0).abs() < 1e-6);
        assert_eq!(window.cpu_thousandths(), 100);
        let peers: Vec<_> = window.peers().collect();
        assert_eq!(peers, [(NodeId(2), 10, Duration::from_millis(3))]);
    }
}
