//! Connections between two ends over a real socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation, NodeId};
use hstore_node::{
    AcceptError, Class, Duplex, FRAME_BYTES_MAX, Hello, PeerAddress, Transport, TransportError,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;

use super::{Accept, PeerTransport, builder, door};

/// Far more than anything here takes; a test that needs it fails.
const LONG: Duration = Duration::from_secs(20);

/// Takes every connection but those of a removed node.
struct Acceptor {
    taken: Mutex<mpsc::Sender<(Hello, Duplex)>>,
}

const REMOVED: NodeId = NodeId(13);

impl Accept for Acceptor {
    fn accept(&self, hello: &Hello, duplex: Duplex) -> Result<(), AcceptError> {
        if hello.from == REMOVED {
            return Err(AcceptError::Removed(REMOVED));
        }
        let taken = self.taken.lock().unwrap();
        taken.try_send((*hello, duplex)).unwrap();
        Ok(())
    }
}

struct World {
    address: String,
    taken: mpsc::Receiver<(Hello, Duplex)>,
    server: JoinHandle<()>,
}

async fn world() -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, taken) = mpsc::channel(8);
    let acceptor = Arc::new(Acceptor {
        taken: Mutex::new(sender),
    });
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tokio::spawn(async move {
        builder()
            .serve_with_incoming(door(acceptor), incoming)
            .await
            .unwrap();
    });
    World {
        address,
        taken,
        server,
    }
}

impl World {
    async fn connect(&self, from: NodeId) -> Result<Duplex, TransportError> {
        let to = PeerAddress {
            node: NodeId(1),
            address: self.address.clone(),
        };
        timeout(LONG, PeerTransport::default().connect(to, hello(from)))
            .await
            .unwrap()
    }

    async fn pair(&mut self) -> (Duplex, Duplex) {
        let here = self.connect(NodeId(7)).await.unwrap();
        let (said, there) = self.taken.recv().await.unwrap();
        assert_eq!(said, hello(NodeId(7)));
        (here, there)
    }
}

fn hello(from: NodeId) -> Hello {
    Hello {
        cluster: ClusterId(1),
        from,
        incarnation: Incarnation(2),
        to: NodeId(1),
        class: Class::Append,
        membership: None,
    }
}

async fn receive(duplex: &mut Duplex) -> Option<Bytes> {
    timeout(LONG, duplex.rx.recv()).await.unwrap()
}

#[tokio::test]
async fn frames_of_any_size_arrive_in_order_in_both_directions() {
    let mut world = world().await;
    let (mut here, mut there) = world.pair().await;
    for size in [0, 1, 100_000, FRAME_BYTES_MAX] {
        let frame = Bytes::from(vec![7; size]);
        here.tx.send(frame.clone()).await.unwrap();
        assert_eq!(receive(&mut there).await, Some(frame.clone()));
        there.tx.send(frame.clone()).await.unwrap();
        assert_eq!(receive(&mut here).await, Some(frame));
    }
    for number in 0..200_u8 {
        here.tx.send(Bytes::from(vec![number])).await.unwrap();
        assert_eq!(receive(&mut there).await, Some(Bytes::from(vec![number])));
    }
}

#[tokio::test]
async fn an_end_that_goes_away_ends_the_other_after_its_last_frame() {
    let mut world = world().await;
    for server_goes in [false, true] {
        let (here, there) = world.pair().await;
        let (goes, mut stays) = if server_goes {
            (there, here)
        } else {
            (here, there)
        };
        goes.tx.send(Bytes::from_static(b"last")).await.unwrap();
        drop(goes);
        assert_eq!(receive(&mut stays).await, Some(Bytes::from_static(b"last")));
        assert_eq!(receive(&mut stays).await, None);
        timeout(LONG, stays.tx.closed()).await.unwrap();
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection() {
    let mut world = world().await;
    let (here, mut there) = world.pair().await;
    let frame = Bytes::from(vec![7; FRAME_BYTES_MAX + 1000]);
    here.tx.send(frame).await.unwrap();
    assert_eq!(receive(&mut there).await, None);
    timeout(LONG, here.tx.closed()).await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_does_not_read_makes_the_sender_wait() {
    let mut world = world().await;
    let (here, mut there) = world.pair().await;
    let frame = Bytes::from(vec![7; 1024 * 1024]);
    // The queues and windows in between hold a bounded number of these.
    let mut sent = 0;
    while let Ok(permit) = timeout(Duration::from_millis(300), here.tx.reserve()).await {
        permit.unwrap().send(frame.clone());
        sent += 1;
        assert!(sent < 400, "nothing bounds what is on its way");
    }
    for _ in 0..sent {
        assert_eq!(receive(&mut there).await.as_ref(), Some(&frame));
    }
}

#[tokio::test]
async fn a_refusal_travels_with_its_code() {
    let world = world().await;
    let refused = world.connect(REMOVED).await.unwrap_err();
    let TransportError::Refused { code, reason } = refused else {
        panic!("{refused}");
    };
    assert_eq!(code, ErrorCode::NodeRemoved);
    assert!(reason.contains("node 13 was removed"), "{reason}");
}

#[tokio::test]
async fn nobody_at_the_address_is_told_from_an_address_that_cannot_be_reached() {
    let world = world().await;
    world.server.abort();
    assert!(world.server.await.unwrap_err().is_cancelled());
    let to = PeerAddress {
        node: NodeId(1),
        address: world.address,
    };
    let refused = PeerTransport::default()
        .connect(to, hello(NodeId(7)))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, TransportError::NobodyListens { .. }),
        "{refused}"
    );
    let nonsense = PeerAddress {
        node: NodeId(1),
        address: "not an address".to_owned(),
    };
    let refused = PeerTransport::default()
        .connect(nonsense, hello(NodeId(7)))
        .await;
    assert!(matches!(refused, Err(TransportError::Unreachable { .. })));
}
