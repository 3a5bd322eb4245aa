//! The keys that a person may be about to type: a bounded look at the store, remembered for a
//! moment so that typing on does not ask again.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hstore_client::{Client, KeyRange, Read};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

/// The most keys that are offered.
const KEYS_MAX: u64 = 100;
/// How long a look is remembered.
const REMEMBERED: Duration = Duration::from_secs(2);
/// How long Tab may take.
pub(crate) const TAB: Duration = Duration::from_millis(300);
/// How long a hint may take; it is asked for at every letter.
pub(crate) const HINT: Duration = Duration::from_millis(40);

/// A way to keys.
pub(crate) struct Keys {
    client: Client,
    runtime: Handle,
    last: Mutex<Option<Look>>,
}

/// What a look found.
struct Look {
    at: Instant,
    prefix: Vec<u8>,
    keys: Vec<Bytes>,
    /// Whether these are all.
    all: bool,
}

impl Keys {
    pub(crate) fn new(client: Client, runtime: Handle) -> Keys {
        Keys {
            client,
            runtime,
            last: Mutex::new(None),
        }
    }

    /// Some of the keys that begin with `prefix`. None when there is no answer in time. Called from
    /// the editor's thread, never from the runtime.
    pub(crate) fn beginning_with(&self, prefix: &[u8], within: Duration) -> Vec<Bytes> {
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = last.as_ref().is_some_and(|look| {
            look.at.elapsed() < REMEMBERED
                && (look.prefix == prefix || (look.all && prefix.starts_with(&look.prefix)))
        });
        if !fresh {
            let keys = self.look(prefix, within);
            let all = keys
                .as_ref()
                .is_some_and(|keys| (keys.len() as u64) < KEYS_MAX);
            *last = Some(Look {
                at: Instant::now(),
                prefix: prefix.to_vec(),
                keys: keys.unwrap_or_default(),
                all,
            });
        }
        let Some(look) = last.as_ref() else {
            return Vec::new();
        };
        look.keys
            .iter()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    fn look(&self, prefix: &[u8], within: Duration) -> Option<Vec<Bytes>> {
        let client = self.client.clone().with_timeout(within);
        let keys = KeyRange::prefix(&Bytes::copy_from_slice(prefix));
        let how = Read {
            keys_only: true,
            serializable: true,
            ..Read::default()
        };
        let look = async move {
            let mut pages = client.pages(keys, how, Some(KEYS_MAX));
            let mut found = Vec::new();
            while let Some(page) = pages.next().await? {
                found.extend(page.pairs.into_iter().map(|pair| pair.key));
            }
            Ok::<Vec<Bytes>, hstore_client::Error>(found)
        };
        self.runtime
            .block_on(async { timeout(within, look).await.ok()?.ok() })
    }
}
