//! Users, roles and permissions.

use hstore_core::auth::{Access, Permission};
use hstore_core::key::KeyRange;
use hstore_proto::authpb::UserAddOptions;
use hstore_proto::convert::{keys, permission};
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use hstore_proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest,
    AuthRoleGetRequest, AuthRoleGrantPermissionRequest, AuthRoleListRequest,
    AuthRoleRevokePermissionRequest, AuthStatusRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest,
};

use crate::call::Kind;
use crate::client::Client;
use crate::error::Error;

/// Whether anybody is asked who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthStatus {
    /// Whether.
    pub enabled: bool,
    /// How often users and roles changed.
    pub revision: u64,
}

macro_rules! ask {
    ($client:expr, $kind:expr, $method:ident, $request:expr) => {{
        let send =
            |channel, request| async move { AuthClient::new(channel).$method(request).await };
        let patience = $client.patience();
        $client
            .shared
            .call($kind, patience, $request, send)
            .await?
            .0
    }};
}

impl Client {
    /// From now on everybody is asked who they are. The user root must have the role root.
    pub async fn enable_auth(&self) -> Result<(), Error> {
        let _done = ask!(self, Kind::Write, auth_enable, AuthEnableRequest {});
        Ok(())
    }

    /// From now on nobody is asked who they are.
    pub async fn disable_auth(&self) -> Result<(), Error> {
        let _done = ask!(self, Kind::Write, auth_disable, AuthDisableRequest {});
        Ok(())
    }

    /// Whether anybody is.
    pub async fn auth_status(&self) -> Result<AuthStatus, Error> {
        let answer = ask!(self, Kind::Read, auth_status, AuthStatusRequest {});
        Ok(AuthStatus {
            enabled: answer.enabled,
            revision: answer.auth_revision,
        })
    }

    /// Makes a user; without a password no password proves the name.
    pub async fn add_user(&self, name: &str, password: Option<&str>) -> Result<(), Error> {
        let request = AuthUserAddRequest {
            name: name.to_owned(),
            password: password.unwrap_or_default().to_owned(),
            options: Some(UserAddOptions {
                no_password: password.is_none(),
            }),
            hashed_password: String::new(),
        };
        let _done = ask!(self, Kind::Write, user_add, request);
        Ok(())
    }

    /// Deletes a user.
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let _done = ask!(
            self,
            Kind::Write,
            user_delete,
            AuthUserDeleteRequest { name }
        );
        Ok(())
    }

    /// Gives a user another password; what was proved by the old one is worth nothing any more.
    pub async fn change_password(&self, name: &str, password: &str) -> Result<(), Error> {
        let request = AuthUserChangePasswordRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            hashed_password: String::new(),
        };
        let _done = ask!(self, Kind::Write, user_change_password, request);
        Ok(())
    }

    /// The names of all users.
    pub async fn users(&self) -> Result<Vec<String>, Error> {
        Ok(ask!(self, Kind::Read, user_list, AuthUserListRequest {}).users)
    }

    /// The roles of a user.
    pub async fn roles_of(&self, user: &str) -> Result<Vec<String>, Error> {
        let name = user.to_owned();
        Ok(ask!(self, Kind::Read, user_get, AuthUserGetRequest { name }).roles)
    }

    /// Gives a user a role.
    pub async fn grant_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        };
        let _done = ask!(self, Kind::Write, user_grant_role, request);
        Ok(())
    }

    /// Takes a role from a user.
    pub async fn revoke_role(&self, user: &str, role: &str) -> Result<(), Error> {
        let request = AuthUserRevokeRoleRequest {
            name: user.to_owned(),
            role: role.to_owned(),
        };
        let _done = ask!(self, Kind::Write, user_revoke_role, request);
        Ok(())
    }

    /// Makes a role.
    pub async fn add_role(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let _done = ask!(self, Kind::Write, role_add, AuthRoleAddRequest { name });
        Ok(())
    }

    /// Deletes a role.
    pub async fn delete_role(&self, name: &str) -> Result<(), Error> {
        let role = name.to_owned();
        let _done = ask!(
            self,
            Kind::Write,
            role_delete,
            AuthRoleDeleteRequest { role }
        );
        Ok(())
    }

    /// The names of all roles.
    pub async fn roles(&self) -> Result<Vec<String>, Error> {
        Ok(ask!(self, Kind::Read, role_list, AuthRoleListRequest {}).roles)
    }

    /// What a role may do.
    pub async fn permissions_of(&self, role: &str) -> Result<Vec<Permission>, Error> {
        let role = role.to_owned();
        let answer = ask!(self, Kind::Read, role_get, AuthRoleGetRequest { role });
        let read = answer.perm.into_iter().map(permission::from_wire);
        read.collect::<Option<_>>().ok_or(Error::Nonsense {
            what: "a permission of an unknown kind",
        })
    }

    /// Lets a role do something with keys.
    pub async fn grant_permission(
        &self,
        role: &str,
        access: Access,
        keys: KeyRange,
    ) -> Result<(), Error> {
        let request = AuthRoleGrantPermissionRequest {
            name: role.to_owned(),
            perm: Some(permission::to_wire(Permission { keys, access })),
        };
        let _done = ask!(self, Kind::Write, role_grant_permission, request);
        Ok(())
    }

    /// Takes back what a role may do with exactly these keys.
    pub async fn revoke_permission(&self, role: &str, keys: KeyRange) -> Result<(), Error> {
        let (key, range_end) = keys::to_wire(keys);
        let request = AuthRoleRevokePermissionRequest {
            role: role.to_owned(),
            key,
            range_end,
        };
        let _done = ask!(self, Kind::Write, role_revoke_permission, request);
        Ok(())
    }
}
