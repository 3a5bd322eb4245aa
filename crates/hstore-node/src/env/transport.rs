//! The way to the peers: connections that carry frames both ways, one connection a class, so that
//! a large append never delays a vote.
//!
//! Invariants: (1) frames of one connection arrive in order or the connection ends; (2) both
//! directions are bounded, a sender that is too fast waits; (3) whoever carries a [`Duplex`] ends
//! both directions when either ends.

use bytes::Bytes;
use futures::future::BoxFuture;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation, LogIndex, NodeId};
use prost::Message;
use tokio::sync::mpsc;

/// The most frames that wait in one direction of a connection; then the sender waits.
pub const FRAMES_IN_FLIGHT_MAX: usize = 64;

/// The largest frame that a peer sends; a longer one is refused by ending the connection. Room
/// for the largest append: the byte bound of one read of the log and one more request.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The byte that every encoded [`Hello`] begins with.
const HELLO_VERSION: u8 = 1;

/// Opens connections to peers.
pub trait Transport: Send + Sync {
    /// Connects to a peer and says hello. It fails fast when the peer cannot be reached or
    /// refuses; the caller adds its own deadline by dropping the future.
    fn connect(
        &self,
        to: PeerAddress,
        hello: Hello,
    ) -> BoxFuture<'static, Result<Duplex, TransportError>>;
}

/// Where a peer is, and which peer must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// The peer.
    pub node: NodeId,
    /// Its address, `host:port`.
    pub address: String,
}

/// What a connection is for. Each class has connections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Log entries.
    Append,
    /// Votes, heartbeats, status, read index, transfer of leadership, membership changes.
    Control,
    /// Proposals on their way to the leader.
    Forward,
    /// Snapshot files.
    Snapshot,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 4] = [
        Class::Append,
        Class::Control,
        Class::Forward,
        Class::Snapshot,
    ];

    /// The class as it is written in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Append => "append",
            Class::Control => "control",
            Class::Forward => "forward",
            Class::Snapshot => "snapshot",
        }
    }

    fn number(self) -> u32 {
        match self {
            Class::Append => 1,
            Class::Control => 2,
            Class::Forward => 3,
            Class::Snapshot => 4,
        }
    }

    fn of(number: u32) -> Option<Class> {
        Class::ALL
            .into_iter()
            .find(|class| class.number() == number)
    }
}

/// The first words of a connection: who speaks, to whom, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster that the speaker belongs to.
    pub cluster: ClusterId,
    /// The speaker.
    pub from: NodeId,
    /// The speaker's data folder.
    pub incarnation: Incarnation,
    /// Whom the speaker wants to reach.
    pub to: NodeId,
    /// What for.
    pub class: Class,
    /// Where the newest applied membership that the speaker is part of stands in the log. It
    /// lets a listener tell a member that it does not know yet from one that was removed.
    pub membership: Option<LogIndex>,
}

impl Hello {
    /// The bytes of the hello, for the transport to carry in whatever its own hello is.
    pub fn encode(&self) -> Bytes {
        let wire = HelloWire {
            cluster: self.cluster.0,
            from: self.from.0,
            incarnation: self.incarnation.0,
            to: self.to.0,
            class: self.class.number(),
            membership: self.membership.map(|index| index.0),
        };
        let mut bytes = Vec::with_capacity(1 + wire.encoded_len());
        bytes.push(HELLO_VERSION);
        bytes.extend(wire.encode_to_vec());
        bytes.into()
    }

    /// The hello in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Hello, HelloError> {
        let (version, rest) = bytes.split_first().ok_or(HelloError::Malformed)?;
        if *version != HELLO_VERSION {
            return Err(HelloError::Version { found: *version });
        }
        let wire = HelloWire::decode(rest).map_err(|_error| HelloError::Malformed)?;
        Ok(Hello {
            cluster: ClusterId(wire.cluster),
            from: NodeId(wire.from),
            incarnation: Incarnation(wire.incarnation),
            to: NodeId(wire.to),
            class: Class::of(wire.class).ok_or(HelloError::Malformed)?,
            membership: wire.membership.map(LogIndex),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloWire {
    #[prost(fixed64, tag = "1")]
    cluster: u64,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(fixed64, tag = "3")]
    incarnation: u64,
    #[prost(uint64, tag = "4")]
    to: u64,
    #[prost(uint32, tag = "5")]
    class: u32,
    #[prost(uint64, optional, tag = "6")]
    membership: Option<u64>,
}

/// Why bytes are not a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not the bytes of a hello.
    #[error("the peer's first words are not understood")]
    Malformed,
    /// A hello of a version that this one does not know.
    #[error("the peer speaks version {found} of the peer protocol, this node version 1")]
    Version {
        /// The version that was found.
        found: u8,
    },
}

impl HelloError {
    /// The code to refuse the connection with.
    pub fn code(self) -> ErrorCode {
        match self {
            HelloError::Malformed => ErrorCode::InvalidArgument,
            HelloError::Version { .. } => ErrorCode::FormatTooNew,
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Duplex {
    /// Frames to the peer.
    pub tx: mpsc::Sender<Bytes>,
    /// Frames from the peer.
    pub rx: mpsc::Receiver<Bytes>,
}

impl Duplex {
    /// The two ends of a connection within this process.
    pub fn pair() -> (Duplex, Duplex) {
        let (here, there_rx) = mpsc::channel(FRAMES_IN_FLIGHT_MAX);
        let (there, here_rx) = mpsc::channel(FRAMES_IN_FLIGHT_MAX);
        (
            Duplex {
                tx: here,
                rx: here_rx,
            },
            Duplex {
                tx: there,
                rx: there_rx,
            },
        )
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The peer answered and refused.
    #[error("the peer refused the connection: {reason}")]
    Refused {
        /// The code of the refusal (see [`crate::AcceptError::code`]).
        code: ErrorCode,
        /// What the peer said.
        reason: String,
    },
    /// The peer's machine answered that nobody listens at the address: its process is not there.
    #[error("the peer does not run: {reason}")]
    NobodyListens {
        /// What went wrong.
        reason: String,
    },
    /// Nobody answered.
    #[error("the peer cannot be reached: {reason}")]
    Unreachable {
        /// What went wrong.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            cluster: ClusterId(0x0102_0304_0506_0708),
            from: NodeId(3),
            incarnation: Incarnation(9),
            to: NodeId(1),
            class: Class::Forward,
            membership: Some(LogIndex(17)),
        }
    }

    #[test]
    fn a_hello_keeps_its_bytes_for_ever() {
        let golden = [
            1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 16, 3, 25, 9, 0, 0, 0, 0, 0, 0, 0, 32, 1, 40, 3, 48, 17,
        ];
        assert_eq!(&hello().encode()[..], &golden[..]);
        assert_eq!(Hello::decode(&golden), Ok(hello()));
    }

    #[test]
    fn a_hello_of_another_version_or_of_nonsense_is_refused() {
        let mut newer = hello().encode().to_vec();
        newer[0] = 2;
        assert_eq!(Hello::decode(&newer), Err(HelloError::Version { found: 2 }));
        assert_eq!(Hello::decode(&[]), Err(HelloError::Malformed));
        assert_eq!(Hello::decode(&[1, 255]), Err(HelloError::Malformed));
        // A class that does not exist.
        assert_eq!(Hello::decode(&[1, 40, 9]), Err(HelloError::Malformed));
    }
}
