//! Who asks: root, the crew, who may read and write everything, and the guests, whose rights change.
//!
//! Whoever asks proves who they are once and goes on with that, as programs do; a login for each call
//! would be another load than the one that clusters have. Wrong passwords are never tried on purpose:
//! nodes make an address wait that guesses, and everybody here has the same one.
//!
//! Invariant: the password of a guest is told to nobody while it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hstore_client::{Client, Credentials};
use hstore_core::auth::{Access, AuthCommand, PasswordHash, Permission, TokenKey};
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::AuthenticateRequest;
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status};

use super::book::Book;
use super::load::GUESTED_PREFIX;
use crate::fleet::{Asker, Fleet};

/// Who may do everything.
pub(super) const ROOT: (&str, &str) = ("root", "root's secret");
/// Who may read and write everything.
const CREW: (&str, &str) = ("crew", "crew's secret");
const CREWS_ROLE: &str = "everything";
/// Users whose rights change, and the role that each begins with.
pub(super) const GUESTS: [&str; 3] = ["g0", "g1", "g2"];
pub(super) const ROLES: [&str; 3] = ["r0", "r1", "r2"];
/// How long it may take to make everybody.
const FOUND: Duration = Duration::from_secs(20);

/// The way to the cluster. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    hosts: Vec<String>,
    /// Whether everybody is asked who they are.
    guarded: bool,
    passwords: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Gate {
    pub(super) fn new(hosts: Vec<String>, guarded: bool) -> Gate {
        Gate {
            hosts,
            guarded,
            passwords: Arc::default(),
        }
    }

    /// Whether everybody is asked who they are.
    pub(super) fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// A client of the crew.
    pub(super) fn crew(&self) -> Result<Client> {
        self.client(CREW)
    }

    /// A client that may do everything.
    pub(super) fn root(&self) -> Result<Client> {
        self.client(ROOT)
    }

    fn client(&self, (name, password): (&str, &str)) -> Result<Client> {
        let client = Client::connect(&self.hosts)?;
        Ok(if self.guarded {
            client.as_user(Credentials::new(name, password))
        } else {
            client
        })
    }

    /// The password of a guest; none while it changes, or there is no such user.
    pub(super) fn password(&self, guest: &str) -> Option<String> {
        self.passwords().get(guest).cloned()
    }

    /// Says what the password of a guest is from now on.
    pub(super) fn tell(&self, guest: &'static str, password: Option<String>) {
        match password {
            Some(password) => self.passwords().insert(guest, password),
            None => self.passwords().remove(guest),
        };
    }

    fn passwords(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        let passwords = &self.passwords;
        passwords.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes everybody, and has everybody asked from then on.
    pub(super) async fn found(&self, fleet: &Fleet, book: &Book) -> Result<()> {
        let client = Client::connect(&self.hosts)?.patient().with_timeout(FOUND);
        let mut commands = vec![
            user_add(ROOT.0, ROOT.1),
            grant_role(ROOT.0, "root"),
            user_add(CREW.0, CREW.1),
            role_add(CREWS_ROLE),
            grant(CREWS_ROLE, KeyRange::all(), Access::ReadWrite),
            grant_role(CREW.0, CREWS_ROLE),
        ];
        for (guest, role) in GUESTS.into_iter().zip(ROLES) {
            let password = format!("{guest}.0");
            commands.extend([
                user_add(guest, &password),
                role_add(role),
                grant(role, guested(), Access::ReadWrite),
                grant_role(guest, role),
            ]);
            self.tell(guest, Some(password));
        }
        commands.push(AuthCommand::Enable {
            key: TokenKey([0; 32]),
        });
        for command in commands {
            let what = format!("{command:?}");
            match book.change(&client, command).await {
                Some(Ok(())) => {}
                told => bail!("nobody strikes yet, and {what} was answered {told:?}"),
            }
        }
        let first = fleet.askers.first().context("a fleet has nodes")?;
        let token = login(first, ROOT.0, ROOT.1, FOUND).await?;
        for asker in &fleet.askers {
            asker.show(&token);
        }
        Ok(())
    }
}

/// Asks one node for a token, once.
pub(super) async fn login(
    asker: &Asker,
    name: &str,
    password: &str,
    at_most: Duration,
) -> Result<MetadataValue<Ascii>, Status> {
    let mut request = Request::new(AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    });
    request.set_timeout(at_most);
    let mut client = AuthClient::new(asker.channel());
    let late = |_elapsed| Status::cancelled("no answer in time");
    let answer = timeout(at_most, client.authenticate(request))
        .await
        .map_err(late)??;
    let token = answer.into_inner().token.parse();
    token.map_err(|_not_ascii| Status::internal("the token makes no sense"))
}

/// What guests write.
pub(super) fn guested() -> KeyRange {
    KeyRange::prefix(&bytes::Bytes::from_static(GUESTED_PREFIX.as_bytes()))
}

/// Stands for the hash of a password: nobody here has to hide any.
pub(super) fn label(password: &str) -> PasswordHash {
    PasswordHash::new(password)
}

pub(super) fn user_add(name: &str, password: &str) -> AuthCommand {
    AuthCommand::UserAdd {
        name: name.into(),
        password: Some(label(password)),
    }
}

pub(super) fn role_add(name: &str) -> AuthCommand {
    AuthCommand::RoleAdd { name: name.into() }
}

pub(super) fn grant_role(user: &str, role: &str) -> AuthCommand {
    let (user, role) = (user.into(), role.into());
    AuthCommand::GrantRole { user, role }
}

pub(super) fn grant(role: &str, keys: KeyRange, access: Access) -> AuthCommand {
    AuthCommand::GrantPermission {
        role: role.into(),
        permission: Permission { keys, access },
    }
}
