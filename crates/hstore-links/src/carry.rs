//! One connection through a door, in both directions, as the rules of its links allow.
//!
//! Invariants: (1) what was read waits in a bounded queue, so that a slow link slows its sender
//! down; (2) the end of a stream obeys the rules as bytes do: nobody hears it across a cut.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::links::Table;
use crate::{Break, Links, NodeNumber};

/// How many pieces wait on a slow link. When it is full nothing more is read from its sender.
const PIECES_MAX: usize = 256;
/// The largest piece.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Who opened a connection, and to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Who opened it.
    pub(crate) from: NodeNumber,
    /// Whose door it came to.
    pub(crate) to: NodeNumber,
}

/// What travels.
enum Piece {
    Bytes(Bytes),
    End,
    Reset,
}

/// Carries until both ends are done, one is gone, or the connection is broken.
pub(crate) async fn carry(near: TcpStream, far: TcpStream, ends: Ends, links: &Links) {
    for stream in [&near, &far] {
        // Without it every small message would wait for an acknowledgement.
        let _as_it_is = stream.set_nodelay(true);
    }
    let mut breaks = links.breaks();
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = Pipe {
        link: (ends.from, ends.to),
        table: links.table(),
    };
    let back = Pipe {
        link: (ends.to, ends.from),
        table: links.table(),
    };
    let (mut near_read, mut near_write) = (near_read, near_write);
    let (mut far_read, mut far_write) = (far_read, far_write);
    let broken = tokio::select! {
        ended = async {
            tokio::try_join!(
                there.run(&mut near_read, &mut far_write),
                back.run(&mut far_read, &mut near_write),
            )
        } => {
            if ended.is_err() {
                reset_half(near_write);
                reset_half(far_write);
            }
            return;
        }
        broken = broken(&mut breaks, ends) => broken,
    };
    // The half that is kept is `a`'s, whichever end of the connection that is.
    let (kept, lost) = if broken.a == ends.from {
        ((near_read, near_write), (far_read, far_write))
    } else {
        ((far_read, far_write), (near_read, near_write))
    };
    reset_half(lost.1);
    drop(lost.0);
    if broken.half_open {
        let (mut read, _write) = kept;
        let mut nothing = [0; 4096];
        while read.read(&mut nothing).await.is_ok_and(|count| count > 0) {}
    } else {
        reset_half(kept.1);
    }
}

/// Makes the close of a stream a reset.
pub(crate) fn reset(stream: &TcpStream) {
    // A stream that is gone needs none.
    let _gone = stream.set_zero_linger();
}

/// The same with the half of one, whose own end would say a polite word first.
fn reset_half(half: OwnedWriteHalf) {
    reset(half.as_ref());
    half.forget();
}

async fn broken(breaks: &mut broadcast::Receiver<Break>, ends: Ends) -> Break {
    loop {
        match breaks.recv().await {
            Ok(what) => {
                let pair = (what.a, what.b);
                if pair == (ends.from, ends.to) || pair == (ends.to, ends.from) {
                    return what;
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One direction of a connection.
struct Pipe {
    link: (NodeNumber, NodeNumber),
    table: watch::Receiver<Table>,
}

impl Pipe {
    /// Ends well when the stream has ended, and with an error when it was reset.
    async fn run(mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
        let (pieces, mut waiting) = mpsc::channel(PIECES_MAX);
        let read = async move {
            let mut buffer = vec![0; PIECE_BYTES_MAX];
            loop {
                let piece = match from.read(&mut buffer).await {
                    Ok(0) => Piece::End,
                    Ok(count) => Piece::Bytes(Bytes::copy_from_slice(&buffer[..count])),
                    Err(_) => Piece::Reset,
                };
                let is_last = !matches!(piece, Piece::Bytes(_));
                if pieces.send((Instant::now(), piece)).await.is_err() || is_last {
                    return;
                }
            }
        };
        let write = async {
            while let Some((since, piece)) = waiting.recv().await {
                self.pass(since).await;
                match piece {
                    Piece::Bytes(bytes) => to.write_all(&bytes).await?,
                    Piece::End => return to.shutdown().await,
                    Piece::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                }
            }
            Ok(())
        };
        tokio::select! {
            written = write => written,
            // What was read before the end is still to be written.
            () = async { read.await; std::future::pending().await } => Ok(()),
        }
    }

    /// Waits until what was read at `since` may pass.
    async fn pass(&mut self, since: Instant) {
        let (from, to) = self.link;
        loop {
            let (is_cut, delay) = {
                let table = self.table.borrow_and_update();
                (table.is_cut(from, to), table.delay(from, to))
            };
            if !is_cut && delay == Duration::ZERO {
                return;
            }
            let due = since + delay;
            if !is_cut && due <= Instant::now() {
                return;
            }
            tokio::select! {
                changed = self.table.changed() => if changed.is_err() { return },
                () = sleep_until(due), if !is_cut => return,
            }
        }
    }
}
