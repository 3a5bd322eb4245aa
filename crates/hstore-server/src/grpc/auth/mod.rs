//! etcd's Auth service: users, roles, permissions, tokens; and who calls.

mod gate;
mod identity;
mod password;
mod throttle;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hstore_core::auth::{
    Auth as State, AuthCommand, Author, Identity, Permission, ROOT_ROLE, TokenKey,
};
use hstore_core::check;
use hstore_core::command::Command;
use hstore_core::error::ErrorCode;
use hstore_core::limits::Limits;
use hstore_core::outcome::Reply;
use hstore_node::Node;
use hstore_proto::authpb;
use hstore_proto::convert::request::RequestError;
use hstore_proto::convert::{keys, permission};
use hstore_proto::etcdserverpb::auth_server::Auth;
use hstore_proto::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse,
    AuthRoleAddRequest, AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse,
    AuthRoleGetRequest, AuthRoleGetResponse, AuthRoleGrantPermissionRequest,
    AuthRoleGrantPermissionResponse, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthStatusRequest,
    AuthStatusResponse, AuthUserAddRequest, AuthUserAddResponse, AuthUserChangePasswordRequest,
    AuthUserChangePasswordResponse, AuthUserDeleteRequest, AuthUserDeleteResponse,
    AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse,
    AuthUserListRequest, AuthUserListResponse, AuthUserRevokeRoleRequest,
    AuthUserRevokeRoleResponse, AuthenticateRequest, AuthenticateResponse, ResponseHeader,
};
use hstore_proto::status;
use tokio::time::{Instant, sleep_until};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::propose::propose;
use super::render;
use password::Passwords;
use throttle::Throttle;
use token::Claims;

pub(super) use gate::{
    Doubt, Verdict, check as check_caller, check_root_now, refused, settle as settle_caller,
};
pub(super) use identity::{Unknown, identify};

/// How long a token lives. Long, for clients that authenticate once and never again; what it is
/// worth is looked up at every use, so it need not be short to be revoked.
const TOKEN_LIFE: Duration = Duration::from_hours(90 * 24);

/// The longest password. It is a bound on work, not advice.
const PASSWORD_BYTES_MAX: usize = 4096;

/// etcd's Auth service over a node.
#[derive(Clone, Debug)]
pub(super) struct AuthDoor {
    pub(super) node: Node,
    pub(super) limits: Limits,
    passwords: Passwords,
    throttle: Arc<Throttle>,
}

impl AuthDoor {
    pub(super) fn new(node: Node, limits: Limits) -> AuthDoor {
        AuthDoor {
            node,
            limits,
            passwords: Passwords::default(),
            throttle: Arc::default(),
        }
    }

    fn call<T>(&self, request: &Request<T>) -> Result<Call, Status> {
        Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)
    }

    /// Proposes a change of users or roles.
    async fn change(&self, call: Call, command: AuthCommand) -> Result<ResponseHeader, Status> {
        check::auth(&command, &self.limits)
            .map_err(|violation| status::refused_request(&RequestError::Check(violation)))?;
        let (header, result) = propose(&self.node, call, Command::Auth(command)).await?;
        match result {
            Ok(Reply::Auth) => Ok(render::header(header)),
            Ok(_other) => Err(status::failure(
                ErrorCode::Internal,
                "an answer of another kind",
            )),
            Err(refusal) => Err(status::refused_command(&refusal)),
        }
    }

    /// The newest users and roles, once this node has them.
    async fn state(&self, call: &Call) -> Result<(ResponseHeader, Arc<State>), Status> {
        let caught_up = self.node.caught_up(call.deadline).await;
        caught_up.map_err(|error| node_error(&error))?;
        let revision = self.node.status().store.revision;
        let header = render::header(self.node.header(revision));
        Ok((header, self.node.auth()))
    }

    /// The hash of a password that came in a request.
    async fn hash(
        &self,
        password: Zeroizing<String>,
        deadline: Instant,
    ) -> Result<hstore_core::auth::PasswordHash, Status> {
        if password.len() > PASSWORD_BYTES_MAX {
            let what = format!("a password has at most {PASSWORD_BYTES_MAX} bytes");
            return Err(status::failure(ErrorCode::InvalidArgument, what));
        }
        self.passwords.hash(password, deadline).await
    }

    /// Whether a name and a password go together; says so after a while to those who guess.
    async fn prove(
        &self,
        state: &State,
        name: &str,
        password: Zeroizing<String>,
        from: Option<IpAddr>,
        deadline: Instant,
    ) -> Result<(), Status> {
        let turn = self.throttle.turn(name, from);
        if turn >= deadline {
            let what = "too many wrong passwords came from there";
            return Err(status::failure(ErrorCode::Overloaded, what));
        }
        sleep_until(turn).await;
        let hash = state.user(name).and_then(|user| user.password()).cloned();
        let short = password.len() <= PASSWORD_BYTES_MAX;
        let right = short && self.passwords.is_right(password, hash, deadline).await?;
        if right {
            self.throttle.succeeded(name);
            return Ok(());
        }
        self.throttle.failed(name, from);
        let what = "there is no such user, or this is not the password";
        Err(status::failure(ErrorCode::AuthFailed, what))
    }
}

#[tonic::async_trait]
impl Auth for AuthDoor {
    async fn auth_enable(
        &self,
        request: Request<AuthEnableRequest>,
    ) -> Result<Response<AuthEnableResponse>, Status> {
        let call = self.call(&request)?;
        // Another key each time: enabling again revokes every token.
        let key = TokenKey(rand::random());
        let header = self.change(call, AuthCommand::Enable { key }).await?;
        Ok(Response::new(AuthEnableResponse {
            header: Some(header),
        }))
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Result<Response<AuthDisableResponse>, Status> {
        let call = self.call(&request)?;
        let header = self.change(call, AuthCommand::Disable).await?;
        Ok(Response::new(AuthDisableResponse {
            header: Some(header),
        }))
    }

    async fn auth_status(
        &self,
        request: Request<AuthStatusRequest>,
    ) -> Result<Response<AuthStatusResponse>, Status> {
        let call = self.call(&request)?;
        let (header, state) = self.state(&call).await?;
        Ok(Response::new(AuthStatusResponse {
            header: Some(header),
            enabled: state.is_enabled(),
            auth_revision: state.revision().0,
        }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let call = self.call(&request)?;
        let from = address_of(&request);
        let AuthenticateRequest { name, password } = request.into_inner();
        let password = Zeroizing::new(password);
        // The newest password counts, and the token is of the state that it was compared in.
        let (header, state) = self.state(&call).await?;
        let Some(key) = state.token_key() else {
            let what = "nobody is asked who they are";
            return Err(status::failure(ErrorCode::AuthNotEnabled, what));
        };
        self.prove(&state, &name, password, from, call.deadline)
            .await?;
        let claims = Claims {
            name: name.into(),
            revision: state.revision(),
            expires_s: identity::now_s() + TOKEN_LIFE.as_secs(),
        };
        Ok(Response::new(AuthenticateResponse {
            header: Some(header),
            token: claims.sign(&key, self.node.cluster_id()),
        }))
    }

    async fn user_add(
        &self,
        request: Request<AuthUserAddRequest>,
    ) -> Result<Response<AuthUserAddResponse>, Status> {
        let call = self.call(&request)?;
        let AuthUserAddRequest {
            name,
            password,
            options,
            hashed_password: _,
        } = request.into_inner();
        let password = Zeroizing::new(password);
        let password = if options.is_some_and(|options| options.no_password) {
            None
        } else {
            Some(self.hash(password, call.deadline).await?)
        };
        let name = name.into();
        let command = AuthCommand::UserAdd { name, password };
        let header = self.change(call, command).await?;
        Ok(Response::new(AuthUserAddResponse {
            header: Some(header),
        }))
    }

    async fn user_get(
        &self,
        request: Request<AuthUserGetRequest>,
    ) -> Result<Response<AuthUserGetResponse>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().name;
        let (header, state) = self.state(&call).await?;
        let own =
            matches!(&call.author, Author::User(Identity { name: own, .. }) if **own == *name);
        let asked = match state.check_root(&call.author) {
            Err(_denied) if own => state.check_user(&call.author),
            asked => asked,
        };
        asked.map_err(refused)?;
        let user = state
            .user(&name)
            .ok_or_else(|| refused(hstore_core::auth::AuthRefusal::UserNotFound))?;
        Ok(Response::new(AuthUserGetResponse {
            header: Some(header),
            roles: user.roles().map(str::to_owned).collect(),
        }))
    }

    async fn user_list(
        &self,
        request: Request<AuthUserListRequest>,
    ) -> Result<Response<AuthUserListResponse>, Status> {
        let call = self.call(&request)?;
        let (header, state) = self.state(&call).await?;
        state.check_root(&call.author).map_err(refused)?;
        Ok(Response::new(AuthUserListResponse {
            header: Some(header),
            users: state.users().map(str::to_owned).collect(),
        }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Result<Response<AuthUserDeleteResponse>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().name.into();
        let header = self.change(call, AuthCommand::UserDelete { name }).await?;
        Ok(Response::new(AuthUserDeleteResponse {
            header: Some(header),
        }))
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Result<Response<AuthUserChangePasswordResponse>, Status> {
        let call = self.call(&request)?;
        let AuthUserChangePasswordRequest {
            name,
            password,
            hashed_password: _,
        } = request.into_inner();
        let password = self.hash(Zeroizing::new(password), call.deadline).await?;
        let name = name.into();
        let command = AuthCommand::UserPassword { name, password };
        let header = self.change(call, command).await?;
        Ok(Response::new(AuthUserChangePasswordResponse {
            header: Some(header),
        }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Result<Response<AuthUserGrantRoleResponse>, Status> {
        let call = self.call(&request)?;
        let AuthUserGrantRoleRequest { user, role } = request.into_inner();
        let command = AuthCommand::GrantRole {
            user: user.into(),
            role: role.into(),
        };
        let header = self.change(call, command).await?;
        Ok(Response::new(AuthUserGrantRoleResponse {
            header: Some(header),
        }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Result<Response<AuthUserRevokeRoleResponse>, Status> {
        let call = self.call(&request)?;
        let AuthUserRevokeRoleRequest { name, role } = request.into_inner();
        let command = AuthCommand::RevokeRole {
            user: name.into(),
            role: role.into(),
        };
        let header = self.change(call, command).await?;
        Ok(Response::new(AuthUserRevokeRoleResponse {
            header: Some(header),
        }))
    }

    async fn role_add(
        &self,
        request: Request<AuthRoleAddRequest>,
    ) -> Result<Response<AuthRoleAddResponse>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().name.into();
        let header = self.change(call, AuthCommand::RoleAdd { name }).await?;
        Ok(Response::new(AuthRoleAddResponse {
            header: Some(header),
        }))
    }

    async fn role_get(
        &self,
        request: Request<AuthRoleGetRequest>,
    ) -> Result<Response<AuthRoleGetResponse>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().role;
        let (header, state) = self.state(&call).await?;
        let asked = match state.check_root(&call.author) {
            Err(_denied) if has_role(&state, &call.author, &name) => state.check_user(&call.author),
            asked => asked,
        };
        asked.map_err(refused)?;
        let role = state
            .role(&name)
            .ok_or_else(|| refused(hstore_core::auth::AuthRefusal::RoleNotFound))?;
        let perm = if name == ROOT_ROLE {
            vec![everything()]
        } else {
            let permissions = role.permissions().iter().cloned();
            permissions.map(permission::to_wire).collect()
        };
        Ok(Response::new(AuthRoleGetResponse {
            header: Some(header),
            perm,
        }))
    }

    async fn role_list(
        &self,
        request: Request<AuthRoleListRequest>,
    ) -> Result<Response<AuthRoleListResponse>, Status> {
        let call = self.call(&request)?;
        let (header, state) = self.state(&call).await?;
        state.check_root(&call.author).map_err(refused)?;
        Ok(Response::new(AuthRoleListResponse {
            header: Some(header),
            roles: state.roles().map(str::to_owned).collect(),
        }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Result<Response<AuthRoleDeleteResponse>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().role.into();
        let header = self.change(call, AuthCommand::RoleDelete { name }).await?;
        Ok(Response::new(AuthRoleDeleteResponse {
            header: Some(header),
        }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<AuthRoleGrantPermissionResponse>, Status> {
        let call = self.call(&request)?;
        let AuthRoleGrantPermissionRequest { name, perm } = request.into_inner();
        let Some(perm) = perm else {
            let what = "the request grants nothing";
            return Err(status::failure(ErrorCode::PermissionNotGiven, what));
        };
        let permission: Permission = permission::from_wire(perm)
            .ok_or_else(|| status::failure(ErrorCode::InvalidArgument, "the type is unknown"))?;
        let command = AuthCommand::GrantPermission {
            role: name.into(),
            permission,
        };
        let header = self.change(call, command).await?;
        Ok(Response::new(AuthRoleGrantPermissionResponse {
            header: Some(header),
        }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<AuthRoleRevokePermissionResponse>, Status> {
        let call = self.call(&request)?;
        let AuthRoleRevokePermissionRequest {
            role,
            key,
            range_end,
        } = request.into_inner();
        let command = AuthCommand::RevokePermission {
            role: role.into(),
            keys: keys::from_wire(key, range_end),
        };
        let header = self.change(call, command).await?;
        Ok(Response::new(AuthRoleRevokePermissionResponse {
            header: Some(header),
        }))
    }
}

/// What the role root may do, in etcd's words.
fn everything() -> authpb::Permission {
    authpb::Permission {
        perm_type: authpb::permission::Type::Readwrite.into(),
        key: bytes::Bytes::new(),
        range_end: bytes::Bytes::from_static(&[0]),
    }
}

fn has_role(state: &State, author: &Author, role: &str) -> bool {
    let Author::User(Identity { name, .. }) = author else {
        return false;
    };
    let user = state.user(name);
    user.is_some_and(|user| user.roles().any(|own| own == role))
}

/// Where a call comes from; none for one that did not come over a network.
fn address_of<T>(request: &Request<T>) -> Option<IpAddr> {
    let told = request.extensions().get::<SocketAddr>().copied();
    told.or_else(|| request.remote_addr())
        .map(|address| address.ip())
}
