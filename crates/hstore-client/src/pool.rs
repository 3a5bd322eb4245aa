//! The nodes that are known and the connections to them, made when first used.
//!
//! Invariants: (1) there is always at least one address; (2) the addresses that the person named
//! stay, in their order, before those that were learned; (3) at most `ADDRESSES_MAX` are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::address::Address;
use crate::dial::{Connector, Dial};
use crate::error::Error;

/// The most addresses that are kept; more are not learned.
const ADDRESSES_MAX: usize = 64;
/// How long a connection may take to be made before another node is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often an idle connection is tried, so that a dead one is noticed before it is needed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to such a try may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the kernel asks whether the other machine is still there.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The known nodes.
pub(crate) struct Pool {
    /// Named ones first, then learned ones.
    addresses: Vec<Address>,
    /// How many were named.
    named: usize,
    /// The connections made so far.
    channels: BTreeMap<Address, Channel>,
    /// How connections are made, if not by the system.
    dial: Option<Arc<dyn Dial>>,
    /// The place of the node that requests go to.
    current: usize,
    /// Whether no other nodes are learned of.
    closed: bool,
}

impl Pool {
    /// A pool of the nodes that a person named; duplicates count once.
    pub(crate) fn new(named: Vec<Address>) -> Result<Pool, Error> {
        let mut seen = BTreeSet::new();
        let mut addresses = named;
        addresses.retain(|address| seen.insert(address.clone()));
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            return Err(Error::NoHost);
        }
        let named = addresses.len();
        Ok(Pool {
            addresses,
            named,
            channels: BTreeMap::new(),
            dial: None,
            current: 0,
            closed: false,
        })
    }

    /// The same pool, with connections that are made by `dial`.
    pub(crate) fn through(mut self, dial: Arc<dyn Dial>) -> Pool {
        self.dial = Some(dial);
        self
    }

    /// A pool of one node, for ever; connections are made as here.
    pub(crate) fn only(&self, address: Address) -> Pool {
        Pool {
            addresses: vec![address],
            named: 1,
            channels: BTreeMap::new(),
            dial: self.dial.clone(),
            current: 0,
            closed: true,
        }
    }

    /// Every known address, the named ones first.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The node that requests go to.
    pub(crate) fn current(&self) -> &Address {
        &self.addresses[self.current]
    }

    /// Makes the node at `place`, counted around, the current one.
    pub(crate) fn start_at(&mut self, place: usize) {
        self.current = place % self.addresses.len();
    }

    /// The current node unless it is in `tried`; else the next one that is not; none when all are.
    pub(crate) fn pick(&self, tried: &BTreeSet<Address>) -> Option<&Address> {
        let (before, from) = self.addresses.split_at(self.current);
        from.iter()
            .chain(before)
            .find(|address| !tried.contains(*address))
    }

    /// Requests go elsewhere from now on, unless another request has seen to that already.
    pub(crate) fn leave(&mut self, failed: &Address) {
        if self.current() == failed {
            self.current = (self.current + 1) % self.addresses.len();
        }
    }

    /// Requests go to the node that has just worked.
    pub(crate) fn stick(&mut self, worked: &Address) {
        if self.current() != worked
            && let Some(place) = self.addresses.iter().position(|address| address == worked)
        {
            self.current = place;
        }
    }

    /// The connection to a node, made when a request first uses it.
    pub(crate) fn channel(&mut self, address: &Address) -> Result<Channel, Error> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(address.uri()).map_err(|_| Error::InvalidAddress {
            text: address.to_string(),
            why: "it does not make a URI",
        })?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_keepalive(Some(TCP_KEEP_ALIVE))
            .tcp_nodelay(true);
        let channel = match &self.dial {
            None => endpoint.connect_lazy(),
            Some(dial) => endpoint.connect_with_connector_lazy(Connector::new(Arc::clone(dial))),
        };
        self.channels.insert(address.clone(), channel.clone());
        Ok(channel)
    }

    /// Replaces what was learned before by the members that the node at `via` named.
    ///
    /// A loopback address means the machine of the member, so it is of use only to a client that
    /// reached the cluster through loopback itself.
    pub(crate) fn learn(&mut self, members: Vec<Address>, via: &Address) {
        if self.closed {
            return;
        }
        let current = self.current().clone();
        self.addresses.truncate(self.named);
        for address in members {
            let usable = !address.is_unspecified() && (!address.is_loopback() || via.is_loopback());
            if usable && self.addresses.len() < ADDRESSES_MAX && !self.addresses.contains(&address)
            {
                self.addresses.push(address);
            }
        }
        self.current = self
            .addresses
            .iter()
            .position(|address| *address == current)
            .unwrap_or_default();
        self.channels
            .retain(|address, _| self.addresses.contains(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<Address> {
        Address::parse_list(text).unwrap()
    }

    fn known(pool: &Pool) -> String {
        let texts: Vec<String> = pool.addresses().iter().map(Address::to_string).collect();
        texts.join(",")
    }

    #[test]
    fn a_pool_of_nothing_is_refused() {
        assert!(matches!(Pool::new(Vec::new()), Err(Error::NoHost)));
    }

    #[test]
    fn the_next_node_is_tried_once_a_round() {
        let mut pool = Pool::new(list("a:1,b:1,a:1,c:1")).unwrap();
        pool.leave(&list("a:1")[0]);
        pool.leave(&list("a:1")[0]); // Another request that saw the same failure.
        let mut tried = BTreeSet::new();
        let mut order = Vec::new();
        while let Some(address) = pool.pick(&tried).cloned() {
            order.push(address.to_string());
            tried.insert(address);
        }
        assert_eq!(order, ["b:1", "c:1", "a:1"]);
    }

    #[test]
    fn members_are_learned_after_the_named_ones_and_forgotten_when_they_leave() {
        let mut pool = Pool::new(list("127.0.0.1:1")).unwrap();
        let via = list("127.0.0.1:1")[0].clone();
        pool.learn(list("127.0.0.1:1,127.0.0.1:2,0.0.0.0:3"), &via);
        assert_eq!(known(&pool), "127.0.0.1:1,127.0.0.1:2");
        pool.stick(&list("127.0.0.1:2")[0]);
        pool.learn(list("127.0.0.1:4,127.0.0.1:2"), &via);
        assert_eq!(known(&pool), "127.0.0.1:1,127.0.0.1:4,127.0.0.1:2");
        assert_eq!(pool.current().to_string(), "127.0.0.1:2");
        pool.learn(list("127.0.0.1:4"), &via);
        assert_eq!(pool.current().to_string(), "127.0.0.1:1");
    }

    #[test]
    fn a_pool_of_one_node_stays_one() {
        let pool = Pool::new(list("a:1,b:1")).unwrap();
        let mut only = pool.only(list("b:1")[0].clone());
        only.learn(list("a:1,c:1"), &list("b:1")[0]);
        only.leave(&list("b:1")[0]);
        assert_eq!(
            (known(&only), only.current().to_string()),
            ("b:1".to_owned(), "b:1".to_owned())
        );
    }

    #[test]
    fn another_machines_loopback_is_not_ours() {
        let mut pool = Pool::new(list("192.0.2.1:1")).unwrap();
        pool.learn(list("127.0.0.1:2,192.0.2.3:1"), &list("192.0.2.1:1")[0]);
        assert_eq!(known(&pool), "192.0.2.1:1,192.0.2.3:1");
    }
}
