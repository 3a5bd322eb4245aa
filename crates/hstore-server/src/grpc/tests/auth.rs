//! The Auth service, and what every call hears by who makes it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::{Author, Identity};
use hstore_core::error::ErrorCode;
use hstore_proto::authpb::{Permission, UserAddOptions};
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use hstore_proto::etcdserverpb::lease_client::LeaseClient;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
    AuthRoleGetRequest, AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthStatusRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
    LeaseGrantRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest,
    WatchCreateRequest, WatchRequest,
};
use hstore_proto::v3lockpb::lock_client::LockClient;
use hstore_proto::v3lockpb::{LockRequest, UnlockRequest};
use hstore_proto::{metadata, status};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{LONG, World, text, world};
use crate::grpc::access::{Need, TABLE, place};
use crate::grpc::auth::check_root_now;

pub(crate) const ROOT_PASSWORD: &str = "root's secret";

impl World {
    pub(crate) fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    pub(crate) async fn authenticate(&self, name: &str, password: &str) -> Result<String, Status> {
        let request = AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let answer = self.auth().authenticate(request).await?;
        Ok(answer.into_inner().token)
    }

    async fn add_user(&self, token: &str, name: &str, password: &str) {
        let request = AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            ..AuthUserAddRequest::default()
        };
        self.auth().user_add(with(token, request)).await.unwrap();
    }

    async fn grant_role(&self, token: &str, user: &str, role: &str) {
        let request = AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        };
        self.auth()
            .user_grant_role(with(token, request))
            .await
            .unwrap();
    }

    async fn put_as(&self, token: &str, key: &str) -> Result<(), Status> {
        let request = PutRequest {
            key: text(key),
            ..PutRequest::default()
        };
        self.kv().put(with(token, request)).await.map(drop)
    }

    async fn get_as(&self, token: &str, key: &str) -> Result<(), Status> {
        let request = RangeRequest {
            key: text(key),
            ..RangeRequest::default()
        };
        self.kv().range(with(token, request)).await.map(drop)
    }
}

/// A request with a token; an empty one is none.
pub(crate) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value: MetadataValue<Ascii> = token.parse().unwrap();
        request.metadata_mut().insert(metadata::TOKEN, value);
    }
    request
}

fn code(status: &Status) -> ErrorCode {
    status::read(status).code
}

fn said(status: &Status) -> (Code, &str, &'static str) {
    (status.code(), status.message(), code(status).as_str())
}

/// A node that asks, with root, a writer of "w" and a user without a role; root's token.
pub(crate) async fn guarded() -> (World, String) {
    let world = world().await;
    world.add_user("", "root", ROOT_PASSWORD).await;
    world.grant_role("", "root", "root").await;
    world.add_user("", "writer", "w").await;
    world.add_user("", "plain", "p").await;
    let role = AuthRoleAddRequest {
        name: "writes".to_owned(),
    };
    world.auth().role_add(role).await.unwrap();
    let grant = AuthRoleGrantPermissionRequest {
        name: "writes".to_owned(),
        perm: Some(Permission {
            perm_type: 1,
            key: text("w"),
            range_end: text(""),
        }),
    };
    world.auth().role_grant_permission(grant).await.unwrap();
    world.grant_role("", "writer", "writes").await;
    world
        .auth()
        .auth_enable(AuthEnableRequest {})
        .await
        .unwrap();
    let root = world.authenticate("root", ROOT_PASSWORD).await.unwrap();
    (world, root)
}

/// Calls a method with one message; what became of it, if it failed.
pub(super) async fn call<M: prost::Message + 'static>(
    channel: &Channel,
    path: &'static str,
    token: &str,
    message: M,
) -> Option<Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let messages = tokio_stream::iter([message]);
    let mut request = with(token, ()).map(|()| messages);
    request.set_timeout(Duration::from_secs(1));
    let codec = ProstCodec::<M, ()>::default();
    let path = PathAndQuery::from_static(path);
    let answered = client.streaming(request, path, codec).await;
    match answered {
        Err(status) => Some(status),
        Ok(answer) => {
            let first = timeout(Duration::from_secs(2), answer.into_inner().message()).await;
            first.ok()?.err()
        }
    }
}

const DISABLE: &str = "/etcdserverpb.Auth/AuthDisable";

/// The token with another signature.
pub(crate) fn forged(token: &str) -> String {
    let (body, signature) = token.rsplit_once('.').expect("a body and a signature");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{body}.{first}{}", &signature[1..])
}

/// Every path of the table, called by everybody who may call or not.
#[tokio::test]
async fn every_call_hears_what_its_line_says_whoever_makes_it() {
    let (world, root) = guarded().await;
    let writer = world.authenticate("writer", "w").await.unwrap();
    let plain = world.authenticate("plain", "p").await.unwrap();
    let revoked = world.authenticate("plain", "p").await.unwrap();
    let change = AuthUserChangePasswordRequest {
        name: "plain".to_owned(),
        password: "q".to_owned(),
        ..AuthUserChangePasswordRequest::default()
    };
    world
        .auth()
        .user_change_password(with(&root, change))
        .await
        .unwrap();
    drop(plain);
    let plain = world.authenticate("plain", "q").await.unwrap();
    let forged = forged(&root);
    let callers = [
        ("nobody", String::new()),
        ("forged", forged),
        ("of another kind", "hjkloiuy.42".to_owned()),
        ("revoked", revoked),
        ("plain", plain),
        ("writer", writer),
        ("root", root),
    ];
    let mut heard: BTreeMap<&str, usize> = BTreeMap::new();
    for (who, token) in &callers {
        for (path, need) in TABLE.iter().filter(|(path, _)| *path != DISABLE) {
            let refused = call(&world.channel, path, token, ())
                .await
                .map(|status| code(&status));
            let what = format!("{who} {path}: {refused:?}");
            let stranger = [ErrorCode::UserEmpty, ErrorCode::InvalidAuthToken];
            match (*who, need) {
                (_, Need::Anyone) | ("root", _) => {
                    // Making a user without a name is refused in these words, too.
                    let named = *path != "/etcdserverpb.Auth/UserAdd";
                    assert!(
                        !refused.is_some_and(|code| named && stranger.contains(&code)),
                        "{what}"
                    );
                    assert_ne!(refused, Some(ErrorCode::PermissionDenied), "{what}");
                }
                ("nobody", _) => assert_eq!(refused, Some(ErrorCode::UserEmpty), "{what}"),
                ("plain" | "writer", Need::Root) => {
                    assert_eq!(refused, Some(ErrorCode::PermissionDenied), "{what}");
                }
                ("plain" | "writer", Need::Keys | Need::Own | Need::User) => {
                    assert!(
                        !refused.is_some_and(|code| stranger.contains(&code)),
                        "{what}"
                    );
                }
                _bad_token => assert_eq!(refused, Some(ErrorCode::InvalidAuthToken), "{what}"),
            }
            *heard.entry(who).or_default() += 1;
        }
    }
    assert!(
        heard.values().all(|calls| *calls == TABLE.len() - 1),
        "{heard:?}"
    );
    // Nobody but root ended a node, and authentication is still what it was.
    for (who, token) in &callers[..callers.len() - 1] {
        let refused = call(&world.channel, DISABLE, token, ()).await;
        assert!(refused.is_some(), "{who}");
    }
    assert!(world.node.auth().is_enabled());
    let disabled = call(&world.channel, DISABLE, &callers[6].1, ()).await;
    assert!(disabled.is_none(), "{disabled:?}");
    assert!(!world.node.auth().is_enabled());
}

#[tokio::test]
async fn who_proves_a_name_gets_a_token_and_others_hear_all_the_same() {
    let world = world().await;
    let early = world.authenticate("root", ROOT_PASSWORD).await.unwrap_err();
    let not_enabled = (
        Code::FailedPrecondition,
        "etcdserver: authentication is not enabled",
        "auth_not_enabled",
    );
    assert_eq!(said(&early), not_enabled);
    let (world, root) = guarded().await;
    let no_password = AuthUserAddRequest {
        name: "silent".to_owned(),
        options: Some(UserAddOptions { no_password: true }),
        ..AuthUserAddRequest::default()
    };
    world
        .auth()
        .user_add(with(&root, no_password))
        .await
        .unwrap();
    let failed = (
        Code::InvalidArgument,
        "etcdserver: authentication failed, invalid user ID or password",
        "auth_failed",
    );
    for (name, password) in [("root", "wrong"), ("stranger", "x"), ("silent", "")] {
        let refused = world.authenticate(name, password).await.unwrap_err();
        assert_eq!(said(&refused), failed, "{name}");
    }
    let token = world.authenticate("writer", "w").await.unwrap();
    assert!(world.put_as(&token, "w").await.is_ok());
    let mut bearer = Request::new(AuthUserGetRequest {
        name: "writer".to_owned(),
    });
    let value = format!("Bearer {token}").parse().unwrap();
    bearer.metadata_mut().insert(metadata::AUTHORIZATION, value);
    let own = world.auth().user_get(bearer).await.unwrap().into_inner();
    assert_eq!(own.roles, ["writes"]);
}

#[tokio::test]
async fn a_key_is_permitted_or_denied_where_it_is_read_and_written() {
    let (world, root) = guarded().await;
    let token = world.authenticate("writer", "w").await.unwrap();
    let denied = (
        Code::PermissionDenied,
        "etcdserver: permission denied",
        "permission_denied",
    );
    assert!(world.put_as(&token, "w").await.is_ok());
    assert_eq!(said(&world.put_as(&token, "x").await.unwrap_err()), denied);
    assert_eq!(said(&world.get_as(&token, "w").await.unwrap_err()), denied);
    assert!(world.get_as(&root, "w").await.is_ok());
    let nobody = world.get_as("", "w").await.unwrap_err();
    let empty = (
        Code::InvalidArgument,
        "etcdserver: user name is empty",
        "user_empty",
    );
    assert_eq!(said(&nobody), empty);
    let invalid = (
        Code::Unauthenticated,
        "etcdserver: invalid auth token",
        "invalid_auth_token",
    );
    assert_eq!(
        said(&world.get_as("nonsense", "w").await.unwrap_err()),
        invalid
    );
}

#[tokio::test]
async fn who_changes_members_is_root_when_it_happens() {
    let (world, root) = guarded().await;
    let (node, deadline) = (&world.node, Instant::now() + LONG);
    let identity = |name: &str| {
        Author::User(Identity {
            name: name.into(),
            revision: node.auth().revision(),
        })
    };
    let (first, plain) = (identity("root"), identity("plain"));
    check_root_now(node, &first, deadline).await.unwrap();
    for (author, refusal) in [
        (plain, ErrorCode::PermissionDenied),
        (Author::Nobody, ErrorCode::UserEmpty),
    ] {
        let refused = check_root_now(node, &author, deadline).await.unwrap_err();
        assert_eq!(code(&refused), refusal);
    }
    let disable = with(&root, AuthDisableRequest {});
    world.auth().auth_disable(disable).await.unwrap();
    let nobody = check_root_now(node, &Author::Nobody, deadline).await;
    nobody.unwrap();
}

#[tokio::test]
async fn a_lock_needs_to_read_and_to_write_what_is_below_its_name() {
    let (world, root) = guarded().await;
    let role = AuthRoleAddRequest {
        name: "holds".to_owned(),
    };
    world.auth().role_add(with(&root, role)).await.unwrap();
    let grant = AuthRoleGrantPermissionRequest {
        name: "holds".to_owned(),
        perm: Some(Permission {
            perm_type: 2,
            key: text("l/"),
            range_end: text("l0"),
        }),
    };
    let granted = world.auth().role_grant_permission(with(&root, grant)).await;
    granted.unwrap();
    world.add_user(&root, "holder", "h").await;
    world.grant_role(&root, "holder", "holds").await;
    let lock = async |token: &str, name: &str| {
        let request = LockRequest {
            name: text(name),
            lease: 0,
        };
        let locked = LockClient::new(world.channel.clone())
            .lock(with(token, request))
            .await?;
        Ok::<_, Status>(locked.into_inner().key)
    };
    let unlock = async |token: &str, key: &Bytes| {
        let request = UnlockRequest { key: key.clone() };
        let mut locks = LockClient::new(world.channel.clone());
        locks.unlock(with(token, request)).await.map(drop)
    };
    let holder = world.authenticate("holder", "h").await.unwrap();
    let writer = world.authenticate("writer", "w").await.unwrap();
    let denied = ErrorCode::PermissionDenied;
    for (token, name, refusal) in [
        ("", "l", ErrorCode::UserEmpty),
        ("nonsense", "l", ErrorCode::InvalidAuthToken),
        (writer.as_str(), "l", denied),
        // Only to write, and only the one key.
        (writer.as_str(), "w", denied),
        (holder.as_str(), "m", denied),
    ] {
        let refused = lock(token, name).await.unwrap_err();
        assert_eq!(code(&refused), refusal, "{name}");
    }
    let key = lock(&holder, "l").await.unwrap();
    assert_eq!(code(&unlock(&writer, &key).await.unwrap_err()), denied);
    let empty = ErrorCode::UserEmpty;
    assert_eq!(code(&unlock("", &key).await.unwrap_err()), empty);
    unlock(&holder, &key).await.unwrap();
    // Nothing of what was refused stands in a line.
    let key = lock(&root, "m").await.unwrap();
    unlock(&root, &key).await.unwrap();
}

#[tokio::test]
async fn a_token_ends_with_the_password_the_user_and_the_key_it_was_made_with() {
    let (world, root) = guarded().await;
    let token = world.authenticate("writer", "w").await.unwrap();
    // Changes of others and of roles do not end it.
    world.add_user(&root, "other", "o").await;
    assert!(world.put_as(&token, "w").await.is_ok());
    let role = AuthRoleDeleteRequest {
        role: "writes".to_owned(),
    };
    world.auth().role_delete(with(&root, role)).await.unwrap();
    let refused = world.put_as(&token, "w").await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::PermissionDenied);
    let delete = AuthUserDeleteRequest {
        name: "writer".to_owned(),
    };
    world.auth().user_delete(with(&root, delete)).await.unwrap();
    let refused = world.put_as(&token, "w").await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::InvalidAuthToken);
    // The same name is another user.
    world.add_user(&root, "writer", "w").await;
    let refused = world.put_as(&token, "w").await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::InvalidAuthToken);
    world
        .auth()
        .auth_disable(with(&root, AuthDisableRequest {}))
        .await
        .unwrap();
    assert!(
        world.put_as(&token, "anything").await.is_ok(),
        "nobody is asked"
    );
    world
        .auth()
        .auth_enable(AuthEnableRequest {})
        .await
        .unwrap();
    let refused = world.put_as(&root, "w").await.unwrap_err();
    assert_eq!(code(&refused), ErrorCode::InvalidAuthToken);
}

#[tokio::test]
async fn users_and_roles_are_told_to_root_and_to_themselves() {
    let (world, root) = guarded().await;
    let writer = world.authenticate("writer", "w").await.unwrap();
    let mut auth = world.auth();
    let users = auth
        .user_list(with(&root, AuthUserListRequest {}))
        .await
        .unwrap();
    assert_eq!(users.into_inner().users, ["plain", "root", "writer"]);
    let roles = auth
        .role_list(with(&root, AuthRoleListRequest {}))
        .await
        .unwrap();
    assert_eq!(roles.into_inner().roles, ["writes"]);
    let role = |name: &str| AuthRoleGetRequest {
        role: name.to_owned(),
    };
    let own = auth
        .role_get(with(&writer, role("writes")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((own.perm.len(), own.perm[0].perm_type), (1, 1));
    let user = |name: &str| AuthUserGetRequest {
        name: name.to_owned(),
    };
    assert!(auth.user_get(with(&writer, user("writer"))).await.is_ok());
    for refused in [
        auth.user_get(with(&writer, user("root"))).await.map(drop),
        auth.role_get(with(&writer, role("root"))).await.map(drop),
    ] {
        assert_eq!(code(&refused.unwrap_err()), ErrorCode::PermissionDenied);
    }
    for (refused, expected) in [
        (
            auth.user_get(with(&root, user("x"))).await.map(drop),
            ErrorCode::UserNotFound,
        ),
        (
            auth.role_get(with(&root, role("x"))).await.map(drop),
            ErrorCode::RoleNotFound,
        ),
    ] {
        assert_eq!(code(&refused.unwrap_err()), expected);
    }
    // A token that is worth nothing does not keep anybody from asking whether one is needed.
    let status = auth
        .auth_status(with("nonsense", AuthStatusRequest {}))
        .await
        .unwrap();
    assert!(status.into_inner().enabled);
    let nothing = AuthRoleGrantPermissionRequest {
        name: "writes".to_owned(),
        perm: None,
    };
    let refused = auth
        .role_grant_permission(with(&root, nothing))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), ErrorCode::PermissionNotGiven);
    let revoke = AuthUserRevokeRoleRequest {
        name: "root".to_owned(),
        role: "root".to_owned(),
    };
    let refused = auth
        .user_revoke_role(with(&root, revoke))
        .await
        .unwrap_err();
    let management = (
        Code::InvalidArgument,
        "etcdserver: invalid auth management",
        "invalid_auth_management",
    );
    assert_eq!(said(&refused), management);
}

#[tokio::test]
async fn the_keys_of_a_lease_are_told_to_those_who_may_read_them() {
    let (world, root) = guarded().await;
    let writer = world.authenticate("writer", "w").await.unwrap();
    let mut leases = LeaseClient::new(world.channel.clone());
    let grant = LeaseGrantRequest { ttl: 60, id: 7 };
    leases.lease_grant(with(&writer, grant)).await.unwrap();
    let put = PutRequest {
        key: text("secret"),
        lease: 7,
        ..PutRequest::default()
    };
    world.kv().put(with(&root, put)).await.unwrap();
    let ask = |keys| LeaseTimeToLiveRequest { id: 7, keys };
    let refused = leases
        .lease_time_to_live(with(&writer, ask(true)))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), ErrorCode::PermissionDenied);
    assert!(
        leases
            .lease_time_to_live(with(&writer, ask(false)))
            .await
            .is_ok()
    );
    let told = leases
        .lease_time_to_live(with(&root, ask(true)))
        .await
        .unwrap();
    assert_eq!(told.into_inner().keys, [text("secret")]);
    assert!(
        leases
            .lease_leases(with(&writer, LeaseLeasesRequest {}))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_watch_ends_when_the_right_to_it_does() {
    let (world, root) = guarded().await;
    let writer = world.authenticate("writer", "w").await.unwrap();
    let (asking, asked) = mpsc::channel(8);
    let create = |key: &str| WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: text(key),
            ..WatchCreateRequest::default()
        })),
    };
    asking.send(create("w")).await.unwrap();
    let request = with(&writer, ()).map(|()| ReceiverStream::new(asked));
    let mut watch = WatchClient::new(world.channel.clone());
    let mut told = watch.watch(request).await.unwrap().into_inner();
    let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    let answer = timeout(LONG, told.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        answer.created && answer.canceled && answer.watch_id == -1,
        "{answer:?}"
    );
    assert_eq!(answer.cancel_reason, denied);
    // With the right it goes, and after the right is gone it ends before the next event.
    let permit = |perm_type| AuthRoleGrantPermissionRequest {
        name: "writes".to_owned(),
        perm: Some(Permission {
            perm_type,
            key: text("w"),
            range_end: text(""),
        }),
    };
    let mut auth = world.auth();
    auth.role_grant_permission(with(&root, permit(2)))
        .await
        .unwrap();
    auth.role_grant_permission(with(&root, permit(0)))
        .await
        .unwrap();
    asking.send(create("w")).await.unwrap();
    let answer = timeout(LONG, told.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(answer.created && !answer.canceled, "{answer:?}");
    world.put_as(&root, "w").await.unwrap();
    let answer = timeout(LONG, told.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(answer.events.len(), 1);
    auth.role_grant_permission(with(&root, permit(1)))
        .await
        .unwrap();
    world.put_as(&root, "w").await.unwrap();
    let answer = timeout(LONG, told.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(answer.canceled && answer.events.is_empty(), "{answer:?}");
    assert_eq!(answer.cancel_reason, denied);
}

/// etcd's CVE-2021-28235: a password could be read from a server that had authenticated with it.
#[tokio::test]
async fn advisory_authenticating_writes_nothing_and_keeps_no_password() {
    let (world, root) = guarded().await;
    let before = world.node.status().last;
    world.authenticate("root", ROOT_PASSWORD).await.unwrap();
    assert_eq!(
        world.node.status().last,
        before,
        "no token is written to the log"
    );
    let state = format!("{:?}", world.node.auth());
    assert!(!state.contains(ROOT_PASSWORD), "{state}");
    assert!(!root.contains(ROOT_PASSWORD));
}

/// etcd's CVE-2026-33413: members, alarms, leases and compaction could be reached by anybody.
#[test]
fn advisory_nothing_but_proving_a_name_is_open_to_everybody() {
    let open = TABLE.iter().filter(|(_, need)| *need == Need::Anyone);
    let open: Vec<&str> = open.map(|(path, _)| *path).collect();
    for path in open {
        let known = [
            "/etcdserverpb.Auth/AuthStatus",
            "/etcdserverpb.Auth/Authenticate",
        ];
        let harmless = path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.");
        assert!(
            known.contains(&path) || harmless,
            "{path} is open to everybody"
        );
    }
    for (path, need) in [
        ("/etcdserverpb.Cluster/MemberList", Need::User),
        ("/etcdserverpb.KV/Compact", Need::Root),
        ("/etcdserverpb.Lease/LeaseLeases", Need::User),
        ("/hstore.v1.Cluster/AllocateNode", Need::Root),
    ] {
        let line = place(path).map(|place| TABLE[place].1);
        assert_eq!(line, Some(need), "{path}");
    }
}
