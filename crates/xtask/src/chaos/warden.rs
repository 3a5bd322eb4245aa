//! One who changes users, roles and permissions while guests ask: grants and revokes, changes
//! passwords, deletes users and makes them anew.
//!
//! Invariant: changes are made one after the other, each until it is known what came of it or the time
//! of one call is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use hstore_check::rights::Learned;
use hstore_client::{Client, ErrorCode};
use hstore_core::auth::{Access, AuthCommand};
use hstore_core::key::KeyRange;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::sleep;

use super::book::Book;
use super::load::GUESTED;
use super::people::{self, GUESTS, Gate, ROLES, grant, grant_role, guested, label};

/// How long one change may take. Its attempts have one request id, so it outlasts most faults and is
/// then known to have been made or not; what stays unknown doubles the states that the judge has to
/// keep until the end.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two changes.
const PAUSE_MS: std::ops::Range<u64> = 50..700;

/// The warden.
struct Warden {
    client: Client,
    gate: Gate,
    book: Arc<Book>,
    rng: StdRng,
    stop: watch::Receiver<bool>,
    passwords: u64,
}

/// Change after change until it is told to stop.
pub(super) async fn run(
    seed: u64,
    gate: Gate,
    book: Arc<Book>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut warden = Warden {
        client: gate.root()?.patient().with_timeout(PATIENCE),
        gate,
        book,
        rng: StdRng::seed_from_u64(seed ^ 0x5851_f42d_4c95_7f2d),
        stop,
        passwords: 0,
    };
    while !warden.is_over() {
        warden.round().await;
        let pause = warden.rng.random_range(PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
    }
    Ok(())
}

impl Warden {
    fn is_over(&self) -> bool {
        *self.stop.borrow()
    }

    async fn change(&self, command: AuthCommand) -> Learned {
        self.book.change(&self.client, command).await
    }

    /// The same change until it is known to be made, or to be refused for good.
    async fn insist(&self, command: AuthCommand) -> Learned {
        loop {
            let learned = self.change(command.clone()).await;
            let is_open = match learned {
                None => true,
                Some(Err(code)) => code.is_retryable(),
                Some(Ok(())) => false,
            };
            if !is_open {
                return learned;
            }
            if self.is_over() {
                return None;
            }
        }
    }

    async fn round(&mut self) {
        let (nth, dice) = (self.rng.random_range(0..3), self.rng.random_range(0..100));
        let role = self.one_of(&ROLES);
        let (guest, own) = (GUESTS[nth], ROLES[nth]);
        match dice {
            // Most of the time a guest may do something.
            0..22 => {
                let command = grant(own, guested(), Access::ReadWrite);
                self.change(command).await;
            }
            22..42 => {
                let command = grant(role, self.keys(), self.access());
                self.change(command).await;
            }
            42..60 => {
                let keys = self.keys();
                let role = own.into();
                self.change(AuthCommand::RevokePermission { role, keys })
                    .await;
            }
            60..72 => {
                self.change(grant_role(guest, own)).await;
            }
            72..80 => {
                let (user, role) = (guest.into(), role.into());
                self.change(AuthCommand::RevokeRole { user, role }).await;
            }
            80..90 => self.another_password(guest).await,
            90..96 => self.another_user(guest, own).await,
            _ => {
                let name = own.into();
                self.insist(AuthCommand::RoleDelete { name }).await;
                self.insist(people::role_add(own)).await;
                self.insist(grant_role(guest, own)).await;
            }
        }
    }

    async fn another_password(&mut self, guest: &'static str) {
        self.gate.tell(guest, None);
        let password = self.draw_password(guest);
        let command = AuthCommand::UserPassword {
            name: guest.into(),
            password: label(&password),
        };
        if self.insist(command).await == Some(Ok(())) {
            self.gate.tell(guest, Some(password));
        }
    }

    async fn another_user(&mut self, guest: &'static str, role: &str) {
        self.gate.tell(guest, None);
        let name = guest.into();
        self.insist(AuthCommand::UserDelete { name }).await;
        let password = self.draw_password(guest);
        // When it was made by an attempt without an answer, it has this very password.
        let made = self.insist(people::user_add(guest, &password)).await;
        if matches!(made, Some(Ok(()) | Err(ErrorCode::UserExists))) {
            self.gate.tell(guest, Some(password));
            self.insist(grant_role(guest, role)).await;
        }
    }

    fn draw_password(&mut self, guest: &str) -> String {
        self.passwords += 1;
        format!("{guest}.{}", self.passwords)
    }

    fn one_of(&mut self, names: &[&'static str; 3]) -> &'static str {
        names[self.rng.random_range(0..names.len())]
    }

    fn access(&mut self) -> Access {
        let all = [Access::Read, Access::Write, Access::ReadWrite];
        all[self.rng.random_range(0..all.len())]
    }

    /// Few ranges, so that what is revoked was granted more often than not.
    fn keys(&mut self) -> KeyRange {
        let key = GUESTED.choose(&mut self.rng).copied();
        match key.filter(|_| self.rng.random_range(0..3) > 0) {
            Some(key) => KeyRange::One(Bytes::from_static(key.as_bytes())),
            None => guested(),
        }
    }
}
