//! Which attempts a call makes, against nodes that follow a script.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod fake;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fake::{Fake, Step};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_client::{
    Address, Client, Credentials, Dial, Error, ErrorCode, Expect, KeyRange, Read, Wire,
};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

/// Long enough for every answer that is to come, on any machine.
const LONG: Duration = Duration::from_secs(20);
/// Short enough to wait for where no answer is to come.
const SHORT: Duration = Duration::from_millis(400);

fn client(nodes: &[&Fake], deadline: Duration) -> Client {
    let hosts: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    Client::connect(&hosts).unwrap().with_timeout(deadline)
}

/// An address at which nobody listens.
async fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_retry_carries_the_request_id_of_the_first_attempt() {
    let table = [
        Step::Break,
        Step::Refuse(ErrorCode::NoQuorum),
        Step::Refuse(ErrorCode::Overloaded),
        Step::Refuse(ErrorCode::ShuttingDown),
        Step::Refuse(ErrorCode::OutcomeUnknown),
        Step::Refuse(ErrorCode::Timeout),
    ];
    for step in table {
        let node = Fake::start(&[step, step]).await;
        client(&[&node], LONG).put("k", "v").await.unwrap();
        let names = node.names();
        assert_eq!(names.len(), 3, "{step:?}");
        assert!(
            names[0].is_some_and(|name| name.sequence == 1 && name.born.0 == 40),
            "{step:?}"
        );
        assert!(names.iter().all(|name| *name == names[0]), "{step:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_will_not_pass_is_not_repeated() {
    for code in [
        ErrorCode::KeyTooLarge,
        ErrorCode::Conflict,
        ErrorCode::Unsupported,
    ] {
        let node = Fake::start(&[Step::Refuse(code)]).await;
        let error = client(&[&node], LONG).put("k", "v").await.unwrap_err();
        assert_eq!((error.code(), node.names().len()), (code, 1));
    }
}

#[tokio::test]
async fn writes_of_one_client_have_one_session_and_different_numbers() {
    let node = Fake::start(&[]).await;
    let client = client(&[&node], LONG);
    let writes = (0..300).map(|_| client.put("k", "v"));
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    let names: Vec<_> = node.names().into_iter().map(Option::unwrap).collect();
    let mut numbers: Vec<u64> = names.iter().map(|name| name.sequence).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=300).collect::<Vec<u64>>());
    assert!(names.iter().all(|name| name.client == names[0].client));
    assert!(
        names
            .iter()
            .all(|name| name.answered_below <= name.sequence)
    );
    assert_eq!(node.sessions(), 1);
    client.put("k", "v").await.unwrap();
    assert_eq!(node.names().last().unwrap().unwrap().answered_below, 301);
}

#[tokio::test]
async fn a_write_without_a_request_id_is_not_repeated_once_it_may_be_applied() {
    let node = Fake::start_plain(&[Step::Break]).await;
    let error = client(&[&node], LONG).put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutcomeUnknown);
    assert_eq!(node.names(), [None]);
}

#[tokio::test]
async fn a_write_without_a_request_id_is_repeated_while_it_was_certainly_not_applied() {
    let node = Fake::start_plain(&[Step::Refuse(ErrorCode::NoQuorum)]).await;
    client(&[&node], LONG).put("k", "v").await.unwrap();
    assert_eq!(node.names(), [None, None]);
}

#[tokio::test]
async fn a_deadline_that_passes_leaves_a_write_unknown_and_a_read_without_an_answer() {
    let node = Fake::start(&[Step::Hang, Step::Hang]).await;
    let client = client(&[&node], SHORT);
    let error = client.put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutcomeUnknown);
    let error = client.get("k", Read::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
}

/// The one asks a node that says nothing for a token, with time to spare; the other waits for that.
#[tokio::test]
async fn a_call_ends_by_its_own_deadline_also_while_another_proves_who_they_are() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let client = Client::connect(&[host])
        .unwrap()
        .as_user(Credentials::new("alice", "secret"));
    let (patient, hasty) = (
        client.clone().with_timeout(LONG),
        client.with_timeout(SHORT),
    );
    let mut proving = std::pin::pin!(patient.get("k", Read::default()));
    assert!(timeout(SHORT / 4, &mut proving).await.is_err());
    tokio::select! {
        _ended = proving => panic!("the patient one ended first"),
        told = hasty.get("k", Read::default()) => {
            assert_eq!(told.unwrap_err().code(), ErrorCode::Timeout);
        }
    }
}

#[tokio::test]
async fn what_the_cluster_refused_until_the_deadline_is_said_as_the_cluster_said_it() {
    let node = Fake::start(&[Step::Refuse(ErrorCode::NoQuorum); 100]).await;
    let client = client(&[&node], SHORT);
    let error = client.put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoQuorum);
    assert!(
        error.to_string().starts_with("as the script says"),
        "{error}"
    );
    let error = client.get("k", Read::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoQuorum);
}

#[tokio::test]
async fn what_a_node_said_tells_more_than_a_node_that_is_not_there() {
    let node = Fake::start(&[Step::Refuse(ErrorCode::NoQuorum); 100]).await;
    let dead = dead_address().await;
    let client = Client::connect(&[node.address.as_str(), dead.as_str()])
        .unwrap()
        .with_timeout(SHORT);
    let error = client.get("k", Read::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoQuorum);
}

#[tokio::test]
async fn no_quorum_after_an_attempt_without_an_answer_is_an_unknown_outcome() {
    let mut steps = vec![Step::Break];
    steps.extend([Step::Refuse(ErrorCode::NoQuorum); 100]);
    let node = Fake::start(&steps).await;
    let error = client(&[&node], SHORT).put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutcomeUnknown);
}

#[tokio::test]
async fn a_refusal_that_every_attempt_gets_is_the_answer_also_after_a_broken_one() {
    let node = Fake::start(&[Step::Break, Step::Refuse(ErrorCode::KeyTooLarge)]).await;
    let error = client(&[&node], LONG).put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::KeyTooLarge);
}

#[tokio::test]
async fn a_session_that_is_forgotten_before_the_first_attempt_is_begun_again() {
    let node = Fake::start(&[Step::Answer, Step::Refuse(ErrorCode::SessionExpired)]).await;
    let client = client(&[&node], LONG);
    client.put("k", "v").await.unwrap();
    client.put("k", "v").await.unwrap();
    let names: Vec<_> = node.names().into_iter().map(Option::unwrap).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(names[0].client, names[1].client);
    assert_ne!(names[1].client, names[2].client);
    assert_eq!((names[2].sequence, node.sessions()), (1, 2));
}

#[tokio::test]
async fn a_session_that_is_forgotten_before_a_retry_leaves_the_outcome_unknown() {
    let node = Fake::start(&[Step::Break, Step::Refuse(ErrorCode::SessionExpired)]).await;
    let error = client(&[&node], LONG).put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutcomeUnknown);
    assert_eq!(node.names().len(), 2);
}

#[tokio::test]
async fn a_session_that_is_forgotten_again_and_again_is_given_up() {
    let node = Fake::start(&[Step::Refuse(ErrorCode::SessionExpired); 50]).await;
    let error = client(&[&node], LONG).put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SessionExpired);
}

#[tokio::test]
async fn the_second_host_answers_where_the_first_is_dead_and_is_kept() {
    let node = Fake::start(&[]).await;
    let dead = dead_address().await;
    let client = Client::connect(&[dead.as_str(), node.address.as_str()])
        .unwrap()
        .with_timeout(LONG);
    client.put("k", "v").await.unwrap();
    assert_eq!(client.address().to_string(), node.address);
    client.get("k", Read::default()).await.unwrap();
    assert_eq!((node.names().len(), node.reads()), (1, 1));
}

#[tokio::test]
async fn a_write_moves_to_the_second_host_under_the_same_request_id() {
    let one = Fake::start(&[Step::Refuse(ErrorCode::ShuttingDown)]).await;
    let two = Fake::start(&[]).await;
    client(&[&one, &two], LONG)
        .delete(KeyRange::all())
        .await
        .unwrap();
    assert_eq!(one.names(), two.names());
    assert_eq!(one.names().len(), 1);
}

#[tokio::test]
async fn a_silent_host_does_not_use_up_the_whole_deadline() {
    let one = Fake::start(&[Step::Hang]).await;
    let two = Fake::start(&[]).await;
    let client = client(&[&one, &two], Duration::from_secs(4));
    client.get("k", Read::default()).await.unwrap();
    assert_eq!((one.reads(), two.reads()), (1, 1));
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_never_an_unknown_outcome() {
    let (one, two) = (dead_address().await, dead_address().await);
    let client = Client::connect(&[&one, &two]).unwrap().with_timeout(LONG);
    let begun = Instant::now();
    for error in [
        client.put("k", "v").await.unwrap_err(),
        client
            .get("k", Read::default())
            .await
            .map(|_| ())
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&one) && text.contains(&two) && text.contains("refused"),
            "{text}"
        );
    }
    assert!(begun.elapsed() < LONG, "it gave up before the deadline");
}

#[tokio::test]
async fn knowing_one_address_is_enough() {
    let one = Fake::start(&[]).await;
    let two = Fake::start(&[]).await;
    one.set_members(&[&one, &two]);
    let client = client(&[&one], LONG);
    let learned = async {
        while client.addresses().len() < 2 {
            client.get("k", Read::default()).await.unwrap();
        }
    };
    timeout(LONG, learned)
        .await
        .expect("the second node is learned of");
    one.break_down();
    client.put("k", "v").await.unwrap();
    assert_eq!(client.address().to_string(), two.address);
}

#[tokio::test]
async fn a_client_says_which_cluster_it_means_as_soon_as_it_knows_and_then_always_the_same() {
    let node = Fake::start(&[]).await;
    node.set_members(&[&node]);
    node.set_cluster(0xabc);
    let client = client(&[&node], LONG);
    let meant = || node.meant().last().cloned().flatten();
    let learned = async {
        while meant().is_none() {
            client.get("k", Read::default()).await.unwrap();
        }
    };
    timeout(LONG, learned).await.expect("it is learned");
    assert_eq!(node.meant()[0], None);
    node.set_cluster(0xdef);
    client.put("k", "v").await.unwrap();
    assert_eq!(meant().unwrap(), "0000000000000abc");
}

#[tokio::test]
async fn a_node_of_another_cluster_is_passed_over() {
    let one = Fake::start(&[Step::Refuse(ErrorCode::ClusterMismatch)]).await;
    let two = Fake::start(&[]).await;
    client(&[&one, &two], LONG).put("k", "v").await.unwrap();
    assert_eq!((one.names().len(), two.names().len()), (1, 1));
    // Where there is no other node that is the answer, and nothing was done.
    let only = Fake::start(&[Step::Refuse(ErrorCode::ClusterMismatch); 100]).await;
    let error = client(&[&only], SHORT).put("k", "v").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ClusterMismatch);
}

#[tokio::test]
async fn a_swap_that_answers_nothing_of_the_key_is_nonsense() {
    let node = Fake::start(&[]).await;
    let client = client(&[&node], LONG);
    let error = client
        .swap("k", Expect::Value("v".into()), "w")
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Internal);
    assert_eq!(
        client.update("k", "w").await.unwrap_err(),
        Error::KeyNotFound
    );
}

/// Dials one address in the place of another, and refuses all others.
struct Detour {
    from: &'static str,
    to: String,
}

impl Dial for Detour {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let to = (address == self.from).then(|| self.to.clone());
        async move {
            let to = to.ok_or(io::ErrorKind::ConnectionRefused)?;
            let stream = tokio::net::TcpStream::connect(to).await?;
            Ok(Box::new(stream) as Box<dyn Wire>)
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_client_takes_the_connections_that_it_is_given() {
    let node = Fake::start(&[]).await;
    let dial = Arc::new(Detour {
        from: "somewhere:1",
        to: node.address.clone(),
    });
    let to = |host: &str| Client::through(Address::parse_list(host).unwrap(), dial.clone(), 7);
    let client = to("somewhere:1").unwrap().with_timeout(LONG);
    client.put("k", "v").await.unwrap();
    let again = to("somewhere:1").unwrap().with_timeout(LONG);
    again.put("k", "v").await.unwrap();
    let clients: Vec<u64> = node.names().iter().flatten().map(|n| n.client).collect();
    assert_eq!(clients[0], clients[1], "the same seed draws the same");
    let nowhere = to("elsewhere:1").unwrap();
    let error = nowhere.put("k", "v").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
