//! What the clients do: how each operation is asked over etcd's wire, and what a good answer is.
//!
//! Invariant: an answer that is not what the operation must give is an error, so that no figure
//! counts failures.

use std::fmt;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::request_op::Request as AnyRequest;
use hstore_proto::etcdserverpb::{
    Compare, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// Writes a key.
pub(super) const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// How many keys a range holds.
const RANGE_KEYS: u64 = 100;

/// How much random data values are cut from. Large, so that no compression helps anybody.
const POOL_BYTES: usize = 4 << 20;

/// How long the leases live that are kept alive, in seconds.
const LEASE_TTL: i64 = 600;

/// What a client does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// Writes a value to a random key.
    Put,
    /// Reads a random key, linearizable.
    Get,
    /// Reads a random key as the node has it.
    SerializableGet,
    /// Reads or writes a random key: so many of a hundred are linearizable reads.
    Mix(u32),
    /// Replaces a key of its own if it is as the client left it.
    CompareAndSet,
    /// Reads a hundred neighbours, linearizable.
    Range,
    /// Writes the one key that all clients write.
    HotPut,
    /// Keeps a lease of its own alive, on one stream.
    KeepAlive,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Put => f.write_str("put"),
            Operation::Get => f.write_str("linearizable get"),
            Operation::SerializableGet => f.write_str("serializable get"),
            Operation::Mix(reads) => write!(f, "{reads}/{} get and put", 100 - reads),
            Operation::CompareAndSet => f.write_str("compare-and-set transaction"),
            Operation::Range => write!(f, "range of {RANGE_KEYS}"),
            Operation::HotPut => f.write_str("put, all to one key"),
            Operation::KeepAlive => f.write_str("lease keep-alive"),
        }
    }
}

/// The keys and values of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How many keys there are.
    pub(super) keys: u64,
    /// How long a value is.
    pub(super) value_bytes: usize,
}

/// A key of 16 bytes; neighbours have neighbouring numbers.
pub(super) fn key(number: u64) -> Bytes {
    format!("{number:016}").into()
}

/// What all clients cut their values from.
pub(super) fn pool() -> Bytes {
    let mut pool = vec![0; POOL_BYTES];
    StdRng::seed_from_u64(POOL_BYTES as u64).fill_bytes(&mut pool);
    pool.into()
}

/// A question and where it goes.
pub(super) struct Question {
    pub(super) path: &'static str,
    pub(super) message: Vec<u8>,
    /// Whether the call ends with its first answer; a stream goes on.
    pub(super) once: bool,
    /// What the answer must be.
    pub(super) expects: Expects,
}

/// What the answer to a question must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    /// A write was done.
    Written,
    /// So many keys were found.
    Found(u64),
    /// The transaction took its first branch.
    Set,
    /// There is a lease.
    Granted,
    /// The lease lives on.
    Kept,
}

/// One client: what it asks next.
#[derive(Debug)]
pub(super) struct Client {
    operation: Operation,
    shape: Shape,
    random: StdRng,
    pool: Bytes,
    /// The key that is its own.
    own: u64,
    /// At which revision it left its own key; 0 when it did not write it yet.
    left_at: i64,
    /// The lease that is its own; 0 when it has none yet.
    lease: i64,
}

impl Client {
    /// The client with this number among all.
    pub(super) fn new(number: u64, operation: Operation, shape: Shape, pool: Bytes) -> Client {
        Client {
            operation,
            shape,
            random: StdRng::seed_from_u64(shape.keys + number),
            pool,
            own: number % shape.keys,
            left_at: 0,
            lease: 0,
        }
    }

    /// The next question.
    pub(super) fn ask(&mut self) -> Question {
        match self.operation {
            Operation::Put => self.put_any(),
            Operation::Get => self.get(false),
            Operation::SerializableGet => self.get(true),
            Operation::Mix(reads) => {
                if self.random.random_range(0..100) < reads {
                    self.get(false)
                } else {
                    self.put_any()
                }
            }
            Operation::CompareAndSet => self.compare_and_set(),
            Operation::Range => self.range(),
            Operation::HotPut => self.put(0),
            Operation::KeepAlive if self.lease == 0 => unary(
                GRANT,
                &LeaseGrantRequest {
                    ttl: LEASE_TTL,
                    ..LeaseGrantRequest::default()
                },
                Expects::Granted,
            ),
            Operation::KeepAlive => Question {
                path: KEEP_ALIVE,
                message: LeaseKeepAliveRequest { id: self.lease }.encode_to_vec(),
                once: false,
                expects: Expects::Kept,
            },
        }
    }

    /// Writes a key by its number.
    pub(super) fn put(&mut self, number: u64) -> Question {
        let request = PutRequest {
            key: key(number),
            value: self.value(),
            ..PutRequest::default()
        };
        unary(PUT, &request, Expects::Written)
    }

    /// Takes the answer to a question; whether it was an operation that counts.
    pub(super) fn hear(&mut self, expects: Expects, message: Bytes) -> Result<bool> {
        match expects {
            Expects::Written => {
                let header = PutResponse::decode(message)?.header;
                ensure!(header.is_some(), "a write was answered without a header");
            }
            Expects::Found(keys) => {
                let answer = RangeResponse::decode(message)?;
                let found = answer.kvs.len() as u64;
                ensure!(found == keys, "a read found {found} keys for {keys}");
                for pair in &answer.kvs {
                    let (length, right) = (pair.value.len(), self.shape.value_bytes);
                    ensure!(length == right, "a value of {length} bytes for {right}");
                }
            }
            Expects::Set => {
                let answer = TxnResponse::decode(message)?;
                ensure!(answer.succeeded, "somebody wrote a client's own key");
                self.left_at = answer.header.map_or(0, |header| header.revision);
            }
            Expects::Granted => {
                self.lease = LeaseGrantResponse::decode(message)?.id;
                return Ok(false);
            }
            Expects::Kept => {
                let left = LeaseKeepAliveResponse::decode(message)?.ttl;
                if left <= 0 {
                    bail!("a lease ended that was kept alive");
                }
            }
        }
        Ok(true)
    }

    fn put_any(&mut self) -> Question {
        let number = self.random.random_range(0..self.shape.keys);
        self.put(number)
    }

    fn get(&mut self, serializable: bool) -> Question {
        let request = RangeRequest {
            key: key(self.random.random_range(0..self.shape.keys)),
            serializable,
            ..RangeRequest::default()
        };
        unary(RANGE, &request, Expects::Found(1))
    }

    fn range(&mut self) -> Question {
        let keys = RANGE_KEYS.min(self.shape.keys);
        let first = self.random.random_range(0..=self.shape.keys - keys);
        let request = RangeRequest {
            key: key(first),
            range_end: key(first + keys),
            ..RangeRequest::default()
        };
        unary(RANGE, &request, Expects::Found(keys))
    }

    fn compare_and_set(&mut self) -> Question {
        let result = if self.left_at == 0 {
            CompareResult::Greater
        } else {
            CompareResult::Equal
        };
        let put = PutRequest {
            key: key(self.own),
            value: self.value(),
            ..PutRequest::default()
        };
        let request = TxnRequest {
            compare: vec![Compare {
                result: result.into(),
                target: CompareTarget::Mod.into(),
                key: key(self.own),
                target_union: Some(TargetUnion::ModRevision(self.left_at)),
                ..Compare::default()
            }],
            success: vec![RequestOp {
                request: Some(AnyRequest::RequestPut(put)),
            }],
            failure: Vec::new(),
        };
        unary(TXN, &request, Expects::Set)
    }

    fn value(&mut self) -> Bytes {
        let last = self.pool.len() - self.shape.value_bytes;
        let at = self.random.random_range(0..=last);
        self.pool.slice(at..at + self.shape.value_bytes)
    }
}

fn unary(path: &'static str, request: &impl prost::Message, expects: Expects) -> Question {
    Question {
        path,
        message: request.encode_to_vec(),
        once: true,
        expects,
    }
}

#[cfg(test)]
mod tests {
    use hstore_proto::etcdserverpb::ResponseHeader;

    use super::*;

    const SHAPE: Shape = Shape {
        keys: 1000,
        value_bytes: 8,
    };

    fn client(operation: Operation) -> Client {
        Client::new(7, operation, SHAPE, Bytes::from_static(&[1; 64]))
    }

    #[test]
    fn keys_have_the_order_of_their_numbers() {
        assert_eq!(key(0).len(), 16);
        assert!(key(9) < key(10));
        assert!(key(99_999) < key(100_000));
    }

    #[test]
    fn a_client_knows_where_it_left_its_own_key() {
        let mut client = client(Operation::CompareAndSet);
        let question = client.ask();
        let asked = TxnRequest::decode(&*question.message).unwrap();
        assert_eq!(asked.compare[0].result(), CompareResult::Greater);
        let answer = TxnResponse {
            header: Some(ResponseHeader {
                revision: 41,
                ..ResponseHeader::default()
            }),
            succeeded: true,
            responses: Vec::new(),
        };
        let heard = client.hear(question.expects, answer.encode_to_vec().into());
        assert!(heard.unwrap());
        let asked = TxnRequest::decode(&*client.ask().message).unwrap();
        assert_eq!(asked.compare[0].result(), CompareResult::Equal);
        assert_eq!(
            asked.compare[0].target_union,
            Some(TargetUnion::ModRevision(41))
        );
        let lost = TxnResponse::default().encode_to_vec();
        client.hear(Expects::Set, lost.into()).unwrap_err();
    }

    #[test]
    fn a_read_that_finds_too_little_is_an_error() {
        let mut client = client(Operation::Range);
        let question = client.ask();
        assert_eq!(question.expects, Expects::Found(100));
        let nothing = RangeResponse::default().encode_to_vec();
        let heard = client.hear(question.expects, nothing.into());
        heard.unwrap_err();
    }

    #[test]
    fn a_lease_is_made_before_it_is_kept() {
        let mut client = client(Operation::KeepAlive);
        let question = client.ask();
        assert_eq!((question.path, question.once), (GRANT, true));
        let granted = LeaseGrantResponse {
            id: 5,
            ttl: LEASE_TTL,
            ..LeaseGrantResponse::default()
        };
        let heard = client.hear(question.expects, granted.encode_to_vec().into());
        assert!(!heard.unwrap(), "to make it is not what is counted");
        let question = client.ask();
        assert_eq!((question.path, question.once), (KEEP_ALIVE, false));
        let gone = LeaseKeepAliveResponse::default().encode_to_vec();
        client.hear(question.expects, gone.into()).unwrap_err();
    }
}
