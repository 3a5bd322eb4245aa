//! The frames of one connection, on their way.
//!
//! Invariants: (1) what one end sent arrives at the other in order, or the connection ends for
//! both; (2) a connection that died without a word takes frames and gives none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_node::{Duplex, Hello, Node};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Link, Net, PATIENCE};

/// The most frames on their way in one direction; then the sender waits.
const ON_THE_WAY_MAX: usize = 64;

/// How long an end keeps a connection that died without a word: as long as the transport of the
/// server needs to find out.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Carries both directions of a connection, and its echo if it has one.
pub(super) fn carry(
    net: &Net,
    link: &Arc<Link>,
    near: Duplex,
    far: Duplex,
    echo: Option<(Duration, Hello, Node)>,
) {
    let copies = echo.map(|(late, hello, node)| {
        let (copies, copied) = mpsc::channel(ON_THE_WAY_MAX);
        tokio::spawn(repeat(late, hello, node, copied));
        copies
    });
    direction(net, link, true, near.rx, far.tx, copies);
    direction(net, link, false, far.rx, near.tx, None);
}

/// Carries the frames of one direction.
fn direction(
    net: &Net,
    link: &Arc<Link>,
    outwards: bool,
    mut rx: mpsc::Receiver<Bytes>,
    tx: mpsc::Sender<Bytes>,
    copies: Option<mpsc::Sender<Bytes>>,
) {
    let (on_the_way, arriving) = mpsc::channel::<(Instant, Bytes)>(ON_THE_WAY_MAX);
    let delays = net.clone();
    let sent_on = link.clone();
    tokio::spawn(async move {
        while let Some(frame) = rx.recv().await {
            if let Some(copies) = &copies {
                // An echo that cannot keep up misses frames, and then it ends: see `repeat`.
                let _late = copies.try_send(frame.clone());
            }
            let due = Instant::now() + delays.delay();
            if on_the_way.send((due, frame)).await.is_err() {
                if *sent_on.dead.borrow() {
                    // The sender may go on until its buffer is full.
                    sleep(KEEP_ALIVE).await;
                }
                return;
            }
        }
    });
    tokio::spawn(deliver(net.clone(), link.clone(), outwards, arriving, tx));
}

async fn deliver(
    net: Net,
    link: Arc<Link>,
    outwards: bool,
    mut arriving: mpsc::Receiver<(Instant, Bytes)>,
    tx: mpsc::Sender<Bytes>,
) {
    let (from, to) = if outwards {
        (&link.from, &link.to)
    } else {
        (&link.to, &link.from)
    };
    let mut dead = link.dead.subscribe();
    loop {
        // The connection dies, the far end hangs up, or a frame comes.
        let (due, frame) = tokio::select! {
            biased;
            _died = dead.wait_for(|dead| *dead) => break,
            () = tx.closed() => break,
            next = arriving.recv() => match next {
                Some(next) => next,
                None => break,
            },
        };
        sleep_until(due).await;
        net.wait_while_waiting(from, to).await;
        if !pass_cuts(&net, from, to).await {
            return;
        }
        if *link.dead.borrow() {
            break;
        }
        if net.is_reset(from, to) || net.breaks() || tx.send(frame).await.is_err() {
            return;
        }
    }
    if *link.dead.borrow() {
        // Neither end hears that the other is gone, until it gives up by itself.
        arriving.close();
        tokio::select! {
            biased;
            () = tx.closed() => {}
            () = sleep(KEEP_ALIVE) => {}
        }
    }
}

/// Waits out a cut as long as a connection can; false when it ends by it.
async fn pass_cuts(net: &Net, from: &str, to: &str) -> bool {
    let mut changes = net.changed.subscribe();
    let end = Instant::now() + PATIENCE;
    while net.is_cut(from, to) {
        match timeout_at(end, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    true
}

/// The same frames again on a connection of their own, late; the answers go nowhere.
async fn repeat(late: Duration, hello: Hello, node: Node, mut copied: mpsc::Receiver<Bytes>) {
    let Some(first) = copied.recv().await else {
        return;
    };
    sleep(late).await;
    let (mut ours, theirs) = Duplex::pair();
    if node.accept(&hello, theirs).is_err() {
        return;
    }
    let mut frame = Some(first);
    loop {
        if let Some(frame) = frame.take()
            && ours.tx.send(frame).await.is_err()
        {
            return;
        }
        tokio::select! {
            biased;
            answer = ours.rx.recv() => if answer.is_none() { return },
            next = copied.recv() => match next {
                Some(next) => frame = Some(next),
                None => return,
            },
        }
    }
}
