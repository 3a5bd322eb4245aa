//! The Election service: who leads, what a leader may say, and who hears of it.

use std::time::Duration;

use hstore_proto::status;
use hstore_proto::v3electionpb::election_client::ElectionClient;
use hstore_proto::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::{LONG, World, text, world};

type Elected = Result<(LeaderKey, i64), Status>;

impl World {
    fn elections(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel.clone())
    }

    fn campaign(&self, lease: i64, value: &str, within: Option<Duration>) -> JoinHandle<Elected> {
        let mut request = Request::new(CampaignRequest {
            name: text("e"),
            lease,
            value: text(value),
        });
        if let Some(within) = within {
            request.set_timeout(within);
        }
        let mut elections = self.elections();
        tokio::spawn(async move {
            let answer = elections.campaign(request).await?.into_inner();
            Ok((answer.leader.unwrap(), answer.header.unwrap().revision))
        })
    }

    async fn proclaim(&self, leader: Option<LeaderKey>, value: &str) -> Result<i64, Status> {
        let request = ProclaimRequest {
            leader,
            value: text(value),
        };
        let proclaimed = self.elections().proclaim(request).await?;
        Ok(proclaimed.into_inner().header.unwrap().revision)
    }

    async fn resign(&self, leader: Option<LeaderKey>) -> Result<i64, Status> {
        let resigned = self.elections().resign(ResignRequest { leader }).await?;
        Ok(resigned.into_inner().header.unwrap().revision)
    }

    async fn leader(&self) -> Result<LeaderResponse, Status> {
        let request = LeaderRequest { name: text("e") };
        Ok(self.elections().leader(request).await?.into_inner())
    }

    async fn observe(&self) -> Streaming<LeaderResponse> {
        let request = LeaderRequest { name: text("e") };
        self.elections()
            .observe(request)
            .await
            .unwrap()
            .into_inner()
    }
}

async fn ended(waiting: JoinHandle<Elected>) -> Elected {
    timeout(LONG, waiting).await.unwrap().unwrap()
}

async fn heard(stream: &mut Streaming<LeaderResponse>) -> (String, String) {
    let told = timeout(LONG, stream.message()).await.unwrap();
    let pair = told.unwrap().unwrap().kv.unwrap();
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (word(&pair.key), word(&pair.value))
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn said(status: &Status) -> (Code, &str, &'static str) {
    let code = status::read(status).code;
    (status.code(), status.message(), code.as_str())
}

const NOT_LEADER: (Code, &str, &str) = (Code::Unknown, "election: not leader", "election_lost");
const NO_LEADER: (Code, &str, &str) = (Code::Unknown, "election: no leader", "nobody_elected");

#[tokio::test]
async fn a_leader_is_elected_proclaims_resigns_and_is_succeeded() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    assert_eq!(said(&world.leader().await.unwrap_err()), NO_LEADER);
    let (one, revision) = ended(world.campaign(1, "a", None)).await.unwrap();
    let expected = LeaderKey {
        name: text("e"),
        key: text("e/1"),
        rev: 2,
        lease: 1,
    };
    assert_eq!((&one, revision), (&expected, 2));
    let second = world.campaign(2, "b", None);
    world.until_line("e/", &["e/1", "e/2"]).await;
    assert_eq!(world.proclaim(Some(one.clone()), "c").await.unwrap(), 4);
    let leads = world.leader().await.unwrap().kv.unwrap();
    assert_eq!((leads.key, leads.value), (text("e/1"), text("c")));
    assert_eq!((leads.create_revision, leads.lease), (2, 1));

    assert_eq!(world.resign(Some(one.clone())).await.unwrap(), 5);
    let (two, revision) = ended(second).await.unwrap();
    assert_eq!((&two.key[..], two.rev, revision), (&b"e/2"[..], 3, 3));
    let late = world.proclaim(Some(one.clone()), "d").await.unwrap_err();
    assert_eq!(said(&late), NOT_LEADER);
    // To resign what is not led any more is no error, and takes nothing from the successor.
    world.resign(Some(one)).await.unwrap();
    assert_eq!(world.line("e/").await, ["e/2"]);
}

#[tokio::test]
async fn a_candidate_that_comes_again_says_what_it_proclaims_now() {
    let world = world().await;
    world.lease(1).await;
    ended(world.campaign(1, "a", None)).await.unwrap();
    let (again, _) = ended(world.campaign(1, "b", None)).await.unwrap();
    assert_eq!(again.rev, 2, "it is the same candidacy");
    let leads = world.leader().await.unwrap().kv.unwrap();
    assert_eq!((leads.value, leads.version, leads.lease), (text("b"), 2, 1));
}

#[tokio::test]
async fn a_candidate_whose_lease_ended_is_never_elected() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    ended(world.campaign(1, "a", None)).await.unwrap();
    let second = world.campaign(2, "b", None);
    world.until_line("e/", &["e/1", "e/2"]).await;
    world.revoke(2).await;
    assert_eq!(said(&ended(second).await.unwrap_err()), NOT_LEADER);
    let third = world.campaign(1, "z", Some(Duration::from_secs(5)));
    assert_eq!(ended(third).await.unwrap().0.rev, 2);
}

#[tokio::test]
async fn a_candidate_without_time_leaves_the_line() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    ended(world.campaign(1, "a", None)).await.unwrap();
    let late = world.campaign(2, "b", Some(Duration::from_millis(500)));
    let late = ended(late).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    world.until_line("e/", &["e/1"]).await;
}

#[tokio::test]
async fn who_observes_hears_of_every_leader_and_of_what_it_proclaims() {
    let world = world().await;
    world.lease(1).await;
    world.lease(2).await;
    let mut early = world.observe().await;
    let (one, _) = ended(world.campaign(1, "a", None)).await.unwrap();
    assert_eq!(heard(&mut early).await, pair("e/1", "a"));
    let second = world.campaign(2, "b", None);
    world.until_line("e/", &["e/1", "e/2"]).await;
    world.proclaim(Some(one.clone()), "c").await.unwrap();
    assert_eq!(heard(&mut early).await, pair("e/1", "c"));
    let mut late = world.observe().await;
    assert_eq!(heard(&mut late).await, pair("e/1", "c"));
    world.resign(Some(one)).await.unwrap();
    ended(second).await.unwrap();
    // Its key is older than the last word of its predecessor.
    assert_eq!(heard(&mut early).await, pair("e/2", "b"));
    assert_eq!(heard(&mut late).await, pair("e/2", "b"));

    world.revoke(2).await;
    world.lease(3).await;
    ended(world.campaign(3, "d", None)).await.unwrap();
    assert_eq!(heard(&mut early).await, pair("e/3", "d"));
    world
        .node
        .stop(Instant::now() + Duration::from_secs(5))
        .await;
    let end = timeout(LONG, early.message()).await.unwrap().unwrap_err();
    let expected = (
        Code::Unavailable,
        "etcdserver: server stopped",
        "shutting_down",
    );
    assert_eq!(said(&end), expected);
}

#[tokio::test]
async fn refusals_are_those_of_etcd() {
    let world = world().await;
    let missing = (
        Code::Unknown,
        "\"leader\" field must be provided",
        "invalid_argument",
    );
    let nobody = world.proclaim(None, "x").await.unwrap_err();
    assert_eq!(said(&nobody), missing);
    assert_eq!(said(&world.resign(None).await.unwrap_err()), missing);
    let nowhere = Some(LeaderKey::default());
    let empty = (
        Code::InvalidArgument,
        "etcdserver: key is not provided",
        "empty_key",
    );
    let refused = world.proclaim(nowhere.clone(), "x").await.unwrap_err();
    assert_eq!(said(&refused), empty);
    assert_eq!(said(&world.resign(nowhere).await.unwrap_err()), empty);
    let unknown = ended(world.campaign(7, "x", None)).await.unwrap_err();
    let expected = (
        Code::NotFound,
        "etcdserver: requested lease not found",
        "lease_not_found",
    );
    assert_eq!(said(&unknown), expected);
}
