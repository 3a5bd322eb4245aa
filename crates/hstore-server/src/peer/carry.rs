//! Carries one end of a connection over a pair of streams.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use hstore_core::id::NodeId;
use hstore_node::{Duplex, FRAMES_IN_FLIGHT_MAX};
use hstore_proto::hstore::v1::Frame;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::meter::{PEERS, PeerMeter};

/// How long the other end has, after this one went away, to take the last frames.
const LAST_FRAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// The two halves that a stream of gRPC is joined to.
pub(super) struct Halves {
    /// Frames that the node sends.
    outgoing: mpsc::Receiver<Bytes>,
    /// Where the node receives frames.
    incoming: mpsc::Sender<Bytes>,
    /// Cancelled when either direction has ended.
    ended: CancellationToken,
    meter: Arc<PeerMeter>,
}

/// A connection with a peer: the end for the node, and the halves for the wire.
pub(super) fn connection(peer: NodeId) -> (Duplex, Halves) {
    let (tx, outgoing) = mpsc::channel(FRAMES_IN_FLIGHT_MAX);
    let (incoming, rx) = mpsc::channel(FRAMES_IN_FLIGHT_MAX);
    let halves = Halves {
        outgoing,
        incoming,
        ended: CancellationToken::new(),
        meter: PEERS.of(peer),
    };
    (Duplex { tx, rx }, halves)
}

impl Halves {
    /// What the node sends, as a stream for the wire, and the other half.
    pub(super) fn split(self) -> (impl Stream<Item = Frame> + Send + 'static, Incoming) {
        let outgoing = Outgoing {
            frames: self.outgoing,
            _end: self.ended.clone().drop_guard(),
            ended: self.ended.clone(),
            meter: Arc::clone(&self.meter),
        };
        let frames = stream::unfold(outgoing, |mut outgoing| async {
            let payload = outgoing.next().await?;
            outgoing.meter.sent_bytes.add(payload.len() as u64);
            Some((Frame { payload }, outgoing))
        });
        let incoming = Incoming {
            frames: self.incoming,
            ended: self.ended,
            meter: self.meter,
        };
        (frames, incoming)
    }
}

struct Outgoing {
    frames: mpsc::Receiver<Bytes>,
    ended: CancellationToken,
    meter: Arc<PeerMeter>,
    /// Ends the other direction when the wire lets go of this one.
    _end: DropGuard,
}

impl Outgoing {
    /// The next frame of the node; none when either direction has ended and nothing waits.
    ///
    /// Cancel safe: a frame leaves the queue only with the answer.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased; // What waits goes out before the end is seen.
            frame = self.frames.recv() => frame,
            () = self.ended.cancelled() => self.frames.try_recv().ok(),
        }
    }
}

/// The half that brings frames to the node.
pub(super) struct Incoming {
    frames: mpsc::Sender<Bytes>,
    ended: CancellationToken,
    meter: Arc<PeerMeter>,
}

impl Incoming {
    /// Brings the frames of the wire to the node until one of the two, or the other direction,
    /// ends. Letting go of the wire resets the whole stream, so that waits until the other end
    /// has seen the last frame and ended its direction too.
    pub(super) async fn carry<E: Debug>(
        self,
        mut wire: impl Stream<Item = Result<Frame, E>> + Send + Unpin,
    ) {
        let Incoming {
            frames,
            ended,
            meter,
        } = self;
        tokio::select! {
            biased; // Nobody is left to bring a frame to.
            () = frames.closed() => {}
            () = ended.cancelled() => {}
            () = bring(&frames, &meter, &mut wire) => {}
        }
        ended.cancel();
        drop(frames);
        let rest = async { while let Some(Ok(_late)) = wire.next().await {} };
        if tokio::time::timeout(LAST_FRAMES_TIMEOUT, rest)
            .await
            .is_err()
        {
            tracing::debug!("a peer did not end its side of a connection in time");
        }
    }
}

async fn bring<E: Debug>(
    node: &mpsc::Sender<Bytes>,
    meter: &PeerMeter,
    wire: &mut (impl Stream<Item = Result<Frame, E>> + Send + Unpin),
) {
    while let Some(frame) = wire.next().await {
        match frame {
            Ok(frame) => {
                meter.received_bytes.add(frame.payload.len() as u64);
                if node.send(frame.payload).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(?error, "a peer connection broke");
                return;
            }
        }
    }
}
