//! etcd-client of crates.io: what its published examples do, and what they leave out, over the
//! cluster in `ENDPOINTS`.

mod checks;
mod cluster;
mod keys;
mod kubernetes;
mod leases;
mod locks;
mod users;
mod watches;

use std::time::Duration;

use checks::Checks;
use etcd_client::{Client, ConnectOptions, Error};

/// How long a part may take.
const PART: Duration = Duration::from_secs(40);

/// A client of all nodes, a client of the last one alone, and what was checked.
struct World {
    endpoints: Vec<String>,
    client: Client,
    other: Client,
    checks: Checks,
}

impl World {
    async fn new() -> Result<World, Error> {
        let named = std::env::var("ENDPOINTS").unwrap_or_default();
        let endpoints: Vec<String> = named.split(',').map(str::to_owned).collect();
        Ok(World {
            client: Client::connect(&endpoints, None).await?,
            other: Client::connect(&endpoints[endpoints.len() - 1..], None).await?,
            checks: Checks::default(),
            endpoints,
        })
    }

    /// Another client, of this user.
    async fn client_of(&self, name: &str, password: &str) -> Result<Client, Error> {
        let options = ConnectOptions::new()
            .with_user(name, password)
            .with_require_leader(true);
        Client::connect(&self.endpoints, Some(options)).await
    }
}

macro_rules! run {
    ($world:ident, $($part:path),+ $(,)?) => {$(
        match tokio::time::timeout(PART, $part(&mut $world)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => $world.checks.broke(stringify!($part), &error.to_string()),
            Err(_late) => $world.checks.broke(stringify!($part), "it did not end in time"),
        }
    )+};
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut world = World::new().await?;
    run!(
        world,
        keys::values,
        keys::transactions,
        keys::failures,
        keys::behind_a_prefix,
        watches::live_and_past,
        watches::filters_and_progress,
        watches::what_is_gone,
        kubernetes::objects,
        kubernetes::lists,
        kubernetes::compactions,
        leases::life,
        locks::locks,
        locks::elections,
        cluster::members,
        cluster::maintenance,
        cluster::leadership,
        users::roles,
        users::users,
        users::rights,
    );
    // Whatever broke: nobody after this is asked who they are.
    users::clean_up(&mut world).await;
    world.checks.end()
}
