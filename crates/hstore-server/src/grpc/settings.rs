//! hstore's Settings service: what is set while nodes run, and what holds at this one.

use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::settings::{
    ChangeSettings, NodeType, Reach, SettingChange, SettingKey, SettingValue, SettingsVersion,
};
use hstore_node::Node;
use hstore_proto::hstore::v1;
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, ChangeSettingsResponse, EffectiveSetting, GetSettingsRequest,
    GetSettingsResponse,
};
use hstore_proto::status;
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use crate::settings::{Layer, shared, show_bytes};

/// A setting that a node was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StartSetting {
    key: &'static str,
    value: String,
    origin: String,
}

/// What a node was started with, in the words of who said it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartSettings(Vec<StartSetting>);

impl StartSettings {
    /// What the layers of a start say together.
    pub(crate) fn of(layer: &Layer) -> StartSettings {
        let given = layer.iter().map(|(key, given)| StartSetting {
            key: key.name,
            value: given.value.clone(),
            origin: given.origin.to_string(),
        });
        StartSettings(given.collect())
    }
}

/// hstore's Settings service over a node.
#[derive(Clone, Debug)]
pub(super) struct SettingsDoor {
    pub(super) node: Node,
    pub(super) start: StartSettings,
}

#[tonic::async_trait]
impl v1::settings_server::Settings for SettingsDoor {
    async fn get(
        &self,
        request: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let settings = if request.into_inner().serializable {
            self.node.settings()
        } else {
            let settings = self.node.read_settings(call.deadline).await;
            settings.map_err(|error| node_error(&error))?
        };
        let all = settings.iter().map(|(node, setting)| v1::Setting {
            key: setting.value.key().to_string(),
            node_id: node.map_or(0, |node| node.0),
            value: shared::show(&setting.value),
            version: setting.version.0,
        });
        Ok(Response::new(GetSettingsResponse {
            version: settings.version().0,
            node_id: self.node.status().node.0,
            settings: all.collect(),
            effective: self.effective(),
        }))
    }

    async fn change(
        &self,
        request: Request<ChangeSettingsRequest>,
    ) -> Result<Response<ChangeSettingsResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let command = parse(request.into_inner())?;
        let changed = Box::pin(
            self.node
                .change_settings(&call.author, command, call.deadline),
        );
        let version = changed.await.map_err(|error| node_error(&error))?;
        Ok(Response::new(ChangeSettingsResponse { version: version.0 }))
    }
}

impl SettingsDoor {
    /// Everything that holds here, by key.
    fn effective(&self) -> Vec<EffectiveSetting> {
        let start = self.start.0.iter().map(|given| EffectiveSetting {
            key: given.key.to_owned(),
            value: given.value.clone(),
            origin: given.origin.clone(),
            reach: v1::Reach::Unspecified.into(),
        });
        let mut all: Vec<EffectiveSetting> = start.collect();
        let status = self.node.status();
        let settings = self.node.settings();
        let effective = self.node.effective();
        for key in SettingKey::ALL {
            let place = all.iter().position(|known| known.key == key.as_str());
            let place = place.unwrap_or_else(|| {
                all.push(EffectiveSetting {
                    key: key.to_string(),
                    origin: "default".to_owned(),
                    ..EffectiveSetting::default()
                });
                all.len() - 1
            });
            let row = &mut all[place];
            row.reach = match key.reach() {
                Reach::Both => v1::Reach::Both,
                Reach::Cluster => v1::Reach::Cluster,
                Reach::Node => v1::Reach::Node,
            }
            .into();
            if let Some(setting) = settings.of_node(status.node, key) {
                let of_node = settings.get(Some(status.node), key).is_some();
                let origin = if of_node {
                    "cluster, for this node"
                } else {
                    "cluster"
                };
                origin.clone_into(&mut row.origin);
                row.value = match &setting.value {
                    // A node with a short election time speaks more often than it is told to.
                    SettingValue::HeartbeatMs(_) => {
                        let ms = effective.heartbeat.as_millis() as u64;
                        shared::show(&SettingValue::HeartbeatMs(ms))
                    }
                    value => shared::show(value),
                };
            }
            match key {
                SettingKey::Name => row.value = effective.name.to_string(),
                // It may not be yet what it is to be.
                SettingKey::Type => {
                    let votes = status.standing.membership.is_voter(status.node);
                    let kind = if votes {
                        NodeType::Voter
                    } else {
                        NodeType::Learner
                    };
                    kind.as_str().clone_into(&mut row.value);
                }
                _ => {}
            }
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }
}

/// A request in the words of the core, every part of it checked.
fn parse(request: ChangeSettingsRequest) -> Result<ChangeSettings, Status> {
    let changes = request.changes.into_iter().map(parse_change);
    let command = ChangeSettings {
        expected: request.expected_version.map(SettingsVersion),
        changes: changes.collect::<Result<_, _>>()?,
    };
    let checked = command.check();
    checked.map_err(|violation| status::failure(violation.code(), violation))?;
    Ok(command)
}

fn parse_change(change: v1::SettingChange) -> Result<SettingChange, Status> {
    let refuse = |what: String| status::failure(ErrorCode::InvalidConfig, what);
    let key = shared::key(&change.key).map_err(refuse)?;
    let node = (change.node_id != 0).then_some(NodeId(change.node_id));
    let Some(text) = change.value else {
        return Ok(SettingChange::unset(node, key));
    };
    let value = shared::read(key, &text).map_err(|error| refuse(error.to_string()))?;
    if let (SettingValue::CacheBytes(bytes), Some(memory)) = (&value, memory_bytes())
        && *bytes > memory
    {
        return Err(refuse(format!(
            "a cache of {} is more than the {} of memory that this machine has",
            show_bytes(*bytes),
            show_bytes(memory),
        )));
    }
    Ok(SettingChange::set(node, value))
}

/// The memory of this machine; none where the system does not tell. The file is made by the kernel
/// on the spot, so reading it never waits for a disk.
fn memory_bytes() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = told
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
