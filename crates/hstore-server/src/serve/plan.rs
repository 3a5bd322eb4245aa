//! What a start is going to do, before it does anything: which folder, which settings, whether it
//! founds, resumes or joins, and through whom.
//!
//! Invariants: (1) nothing is founded in a folder that was used, nor beside a running cluster
//! unless it was said; (2) `join` never founds.

use std::path::Path;

use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;

use crate::discover::{self, Found};
use crate::fault::Fault;
use crate::place::{self, Intent, Place, Surroundings};
use crate::screen;
use crate::settings::{Layer, Record, Settings, Sources};

/// What came before the command line: the settings that a record keeps for a plain `start`.
/// Addresses and the name belong to the node; the rest belongs to whoever starts it.
const KEPT: [&str; 4] = ["name", "listen", "peer-listen", "advertise"];

/// What a start is going to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the node is told.
    pub(super) settings: Settings,
    /// The same, with origins, for the record.
    pub(super) layer: Layer,
    /// Where it lives.
    pub(super) place: Place,
    /// The name it wants.
    pub(super) name: String,
    /// The cluster to join, if the folder is new and that is what is to be done.
    pub(super) join: Option<Found>,
    /// The cluster of the node that was named, if the folder is a member already: it must be the
    /// same.
    pub(super) asked: Option<Found>,
}

/// Where a plan comes from.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    /// What was asked for.
    pub(super) intent: &'a Intent,
    /// Flags, environment, file.
    pub(super) sources: &'a Sources,
    /// Take every setting of the last start.
    pub(super) recorded: bool,
    /// The folder where the program was started.
    pub(super) here: &'a Path,
    /// The nodes of this machine.
    pub(super) registry: &'a Registry,
    /// Names that turned out to be in use a moment ago.
    pub(super) avoid: &'a [String],
    /// Whether a person can be asked.
    pub(super) may_ask: bool,
}

impl Wish<'_> {
    /// Decides.
    pub(super) async fn plan(&self) -> Result<Plan, Fault> {
        let settings = self.sources.settings()?;
        let place = self.choose(&settings, &[])?;
        if let Some(record) = place.record.clone() {
            return self.resume(place, &record).await;
        }
        match self.intent {
            Intent::Start => self.found(settings, place).await,
            Intent::Join { host } => self.join(settings, host.as_deref()).await,
        }
    }

    fn choose(&self, settings: &Settings, members: &[String]) -> Result<Place, Fault> {
        let around = Surroundings {
            here: self.here,
            registry: self.registry,
            members,
            avoid: self.avoid,
        };
        place::choose(settings, self.intent, &around)
    }

    async fn resume(&self, place: Place, record: &Record) -> Result<Plan, Fault> {
        let mut kept = record.layer(&place.data)?;
        if !self.recorded {
            kept.keep(&KEPT);
        }
        let layer = self.sources.merge_over(kept)?;
        let settings = Settings::of(&layer)?;
        let asked = match (&record.joining, self.intent) {
            (None, Intent::Join { host: Some(host) }) => Some(discover::through(host).await?),
            _ => None,
        };
        let join = match (&record.joining, self.intent) {
            (None, _) => None,
            (Some(_), Intent::Join { host: Some(host) }) => Some(discover::through(host).await?),
            (Some(hosts), _) => Some(self.find_again(&settings, hosts).await?),
        };
        Ok(Plan {
            name: record.name.clone(),
            settings,
            layer,
            place,
            join,
            asked,
        })
    }

    /// The cluster of an interrupted join: through the hosts of then, or whatever is found.
    async fn find_again(&self, settings: &Settings, hosts: &[String]) -> Result<Found, Fault> {
        let mut last = None;
        for host in hosts {
            match discover::through(host).await {
                Ok(found) => return Ok(found),
                Err(fault) => last = Some(fault),
            }
        }
        let found = discover::clusters(self.registry, &settings.seeds).await?;
        let wanted = settings.cluster.as_deref();
        discover::the_one(found, wanted, &settings.seeds).map_err(|fault| last.unwrap_or(fault))
    }

    async fn found(&self, settings: Settings, place: Place) -> Result<Plan, Fault> {
        let said = settings.cluster.is_some() || settings.data.is_some();
        if !said || settings.cluster.is_some() {
            let beside = match discover::clusters(self.registry, &settings.seeds).await {
                // A name was given on purpose; who refuses to say its own cannot be compared.
                Err(_refused) if said => Vec::new(),
                beside => beside?,
            };
            let same_name = beside.iter().find(|found| {
                settings
                    .cluster
                    .as_deref()
                    .is_some_and(|name| found.is(name))
            });
            if let Some(found) = same_name {
                return Err(Fault::new(
                    ErrorCode::Conflict,
                    format!("a cluster {} is running already", described(found)),
                )
                .hint("hstore-server join --cluster NAME   adds a node to it"));
            }
            if !said && !beside.is_empty() {
                self.ask_whether_to_found(&beside)?;
            }
        }
        let layer = self.sources.merge()?;
        let name = named(&place);
        Ok(Plan {
            settings,
            layer,
            place,
            name,
            join: None,
            asked: None,
        })
    }

    fn ask_whether_to_found(&self, beside: &[Found]) -> Result<(), Fault> {
        let there: Vec<String> = beside.iter().map(described).collect();
        let there = there.join(", ");
        if self.may_ask && screen::can_ask() {
            let question = format!(
                "Cluster {there} is running. Found a second, separate cluster instead of joining it?"
            );
            if screen::ask(&question) {
                return Ok(());
            }
        }
        Err(Fault::new(
            ErrorCode::Conflict,
            format!("a cluster is running here already: {there}"),
        )
        .hint(
            "hstore-server join                   adds a node to it\n\
             hstore-server start --cluster NAME   founds a second, separate cluster",
        ))
    }

    async fn join(&self, settings: Settings, host: Option<&str>) -> Result<Plan, Fault> {
        let found = if let Some(host) = host {
            let found = discover::through(host).await?;
            if let Some(wanted) = &settings.cluster
                && !found.is(wanted)
            {
                return Err(Fault::new(
                    ErrorCode::ClusterMismatch,
                    format!(
                        "{host} is a node of cluster {}, not of {wanted}",
                        described(&found)
                    ),
                ));
            }
            found
        } else {
            let found = discover::clusters(self.registry, &settings.seeds).await?;
            discover::the_one(found, settings.cluster.as_deref(), &settings.seeds)?
        };
        let place = self.choose(&settings, &found.names())?;
        let layer = self.sources.merge()?;
        let name = named(&place);
        Ok(Plan {
            settings,
            layer,
            place,
            name,
            join: Some(found),
            asked: None,
        })
    }
}

fn named(place: &Place) -> String {
    place
        .name
        .clone()
        .expect("a place has a name once the members are known")
}

/// A cluster as a person is told of it.
pub(super) fn described(found: &Found) -> String {
    let members = found.names();
    format!(
        "{} ({})",
        found.description.cluster_name,
        members.join(", ")
    )
}
