//! The hosts of clients: what they ask while the weather is bad, and the last look of one of them
//! when it is good again.
//!
//! Invariants: (1) a client has one call under way at a time; (2) the last look goes to each node by
//! itself, so that none hides behind another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::join_all;
use hstore_check::history::{ClientId, LogEntry, LogRecord};
use hstore_client::{Address, Client, Error, ErrorCode};
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;
use hstore_proto::convert::reply;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::hstore::v1::HistoryRequest;
use hstore_proto::hstore::v1::kv_client::KvClient as HistoryClient;
use rand::RngExt as _;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::ask::Ask;
use crate::book::Book;
use crate::draw::{Draw, KEYS, all};
use crate::net::Net;
use crate::place::{CLIENT_PORT, NODES, channel};

/// The hosts of clients, how many clients live on each, and how many nodes each of these is told
/// of; of the others they learn.
pub(crate) const HOSTS: [(&str, u64, usize); 3] = [("c1", 2, 3), ("c2", 2, 3), ("c3", 1, 1)];

/// Where a run is.
pub(crate) const BEGINNING: u8 = 0;
pub(crate) const STORM: u8 = 1;
pub(crate) const CALM: u8 = 2;
pub(crate) const LAST_LOOK: u8 = 3;

/// How long a client waits for an answer: sometimes for a whole failover, sometimes not.
const PATIENCE_MS: std::ops::Range<u64> = 200..3_000;

/// How long a client thinks between two calls, at most.
const PAUSE_MS_MAX: u64 = 100;

/// How long one call of the last look may take.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// The calls of the last look, through each node in turn: so many writes and so many reads.
const LOOKS: usize = 9;

/// A wrong that is done on purpose, so that the judges must find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    /// None.
    #[default]
    None,
    /// A write whose outcome is unknown is sent again as if it had never been sent.
    BlindRetries,
    /// Reads that may be old are recorded as if they had to be new.
    StaleReads,
}

/// What all clients of a run share. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) net: Net,
    pub(crate) book: Book,
    pub(crate) stage: Arc<AtomicU8>,
    pub(crate) lie: Lie,
    /// The node that each host of clients asks first, as of its last call.
    pub(crate) asked: Arc<Mutex<BTreeMap<&'static str, String>>>,
    /// What the last look found.
    pub(crate) found: Arc<Mutex<Found>>,
}

/// What the last look found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What the nodes agreed on.
    pub(crate) log: Vec<LogEntry>,
    /// What is wrong.
    pub(crate) wrong: Vec<String>,
    /// Whether it ended.
    pub(crate) is_complete: bool,
}

impl Shared {
    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    async fn until(&self, stage: u8) {
        while self.stage() < stage {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Everything that one host of clients does.
    pub(crate) async fn live(
        self,
        host: &'static str,
        clients: std::ops::Range<u64>,
        knows: usize,
        seed: u64,
    ) -> turmoil::Result {
        self.until(STORM).await;
        let all = clients.clone().map(|number| {
            let seed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            self.clone().client(host, number, knows, seed)
        });
        for ended in join_all(all).await {
            ended?;
        }
        if host == HOSTS[0].0 {
            self.until(LAST_LOOK).await;
            let mut found = Found::default();
            if let Err(why) = self.look(host, &mut found).await {
                found.wrong.push(format!("serve: {why:#}"));
            }
            found.is_complete = true;
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
        Ok(())
    }

    async fn client(self, host: &'static str, number: u64, knows: usize, seed: u64) -> Result<()> {
        let first = number as usize % NODES.len();
        let named = NODES.iter().cycle().skip(first).take(knows);
        let named: Result<Vec<Address>, Error> = named
            .map(|node| format!("{node}:{CLIENT_PORT}").parse())
            .collect();
        let client = Client::through(named?, self.net.dialler(host), seed)?.patient();
        let mut draw = Draw::new(number, seed);
        while self.stage() < CALM {
            let mut ask = draw.ask();
            let recorded = ask.clone();
            if self.lie == Lie::StaleReads
                && let Ask::Range(asked) = &mut ask
            {
                asked.serializable = true;
            }
            let patience = Duration::from_millis(draw.rng.random_range(PATIENCE_MS));
            let patient = client.clone().with_timeout(patience);
            let sent = self.send(ask, &patient);
            let told = self
                .book
                .ask(ClientId(number), &recorded, patience, sent)
                .await?;
            if let Ok(reply) = &told {
                draw.learn(reply);
            }
            let now = client.address().host().to_owned();
            self.asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(host, now);
            let pause = draw.rng.random_range(0..=PAUSE_MS_MAX);
            sleep(Duration::from_millis(pause)).await;
        }
        Ok(())
    }

    async fn send(&self, ask: Ask, client: &Client) -> Result<(Revision, Reply), Error> {
        let again = ask.clone();
        let told = ask.send(client).await;
        match told {
            Err(error)
                if self.lie == Lie::BlindRetries && error.code() == ErrorCode::OutcomeUnknown =>
            {
                again
                    .send(&client.clone().with_timeout(Duration::from_mins(1)))
                    .await
            }
            told => told,
        }
    }

    /// Writes and reads through each node, then reads everything back from each of them.
    async fn look(&self, host: &str, found: &mut Found) -> Result<()> {
        let mut draw = Draw::new(u64::from(u32::MAX), 0);
        let number = ClientId(0);
        let mut channels = Vec::new();
        for node in NODES {
            channels.push((node, channel(&self.net, host, node)?));
        }
        for nth in 0..LOOKS {
            let (node, channel) = &channels[nth % NODES.len()];
            let put = draw.put(Bytes::from_static(KEYS[nth % KEYS.len()].as_bytes()));
            let asked = KvClient::new(channel.clone());
            let write = put_to(asked.clone(), Ask::Put(put.clone()));
            let told = self
                .book
                .ask(number, &Ask::Put(put), LOOK_MAX, write)
                .await?;
            ensure!(told.is_ok(), "{node} does not write: {told:?}");
            let read = put_to(asked, Ask::Range(all()));
            let told = self
                .book
                .ask(number, &Ask::Range(all()), LOOK_MAX, read)
                .await?;
            ensure!(told.is_ok(), "{node} does not read: {told:?}");
        }
        let mut logs = Vec::new();
        for (node, channel) in channels {
            logs.push((node, read_back(channel).await?));
        }
        let (first, log) = logs.remove(0);
        for (node, other) in logs {
            if other != log {
                found
                    .wrong
                    .push(format!("sameness: {node} has another log than {first}"));
            }
        }
        found.log = log;
        Ok(())
    }
}

/// Sends a write or a read of keys to one node and to no other, once.
async fn put_to(mut client: KvClient<Channel>, ask: Ask) -> Result<(Revision, Reply), Error> {
    let unknown = |last: String| Error::OutcomeUnknown { last };
    let call = async {
        match ask {
            Ask::Put(asked) => {
                let answer = client.put(asked).await?.into_inner();
                anyhow::Ok(reply::put(answer)?)
            }
            Ask::Range(asked) => {
                let answer = client.range(asked).await?.into_inner();
                Ok(reply::range(answer)?)
            }
            Ask::Delete(_) | Ask::Txn(_) => anyhow::bail!("this is asked through the client only"),
        }
    };
    match timeout(LOOK_MAX, call).await {
        Ok(told) => told.map_err(|error| unknown(error.to_string())),
        Err(_late) => Err(unknown("no answer in time".to_owned())),
    }
}

/// Everything that one node ever wrote.
async fn read_back(channel: Channel) -> Result<Vec<LogEntry>> {
    let mut written: BTreeMap<Revision, BTreeMap<Bytes, Option<Bytes>>> = BTreeMap::new();
    let mut client = HistoryClient::new(channel).max_decoding_message_size(64 * 1024 * 1024);
    for key in KEYS {
        let key = Bytes::from_static(key.as_bytes());
        let mut before = 0;
        loop {
            let request = HistoryRequest {
                key: key.clone(),
                limit: 0,
                before_revision: before,
            };
            let page = timeout(LOOK_MAX, client.history(request))
                .await??
                .into_inner();
            let last = page.records.last().map(|record| record.mod_revision);
            for record in page.records {
                let value = (!record.deleted).then_some(record.value);
                let at = written.entry(Revision(record.mod_revision)).or_default();
                at.insert(key.clone(), value);
            }
            match last {
                Some(last) if page.more => before = last,
                _ => break,
            }
        }
    }
    let entries = written.into_iter().map(|(revision, records)| LogEntry {
        revision,
        records: records
            .into_iter()
            .map(|(key, value)| LogRecord { key, value })
            .collect(),
        operation: None,
    });
    Ok(entries.collect())
}
