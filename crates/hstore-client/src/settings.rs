//! The settings of the cluster that change while it runs.

use hstore_proto::hstore::v1::settings_client::SettingsClient;
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, GetSettingsRequest, GetSettingsResponse, SettingChange,
};

use crate::call::Kind;
use crate::client::Client;
use crate::error::Error;

impl Client {
    /// What is set for the cluster and its members, and what holds at the node that answers.
    pub async fn settings(&self) -> Result<GetSettingsResponse, Error> {
        let request = GetSettingsRequest {
            serializable: false,
        };
        let send =
            |channel, request| async move { SettingsClient::new(channel).get(request).await };
        let asked = self.shared.call(Kind::Read, self.patience(), request, send);
        Ok(asked.await?.0)
    }

    /// Changes settings, all of them or none; their version then. With `expected` only if they are
    /// at that version.
    pub async fn change_settings(
        &self,
        expected: Option<u64>,
        changes: Vec<SettingChange>,
    ) -> Result<u64, Error> {
        let request = ChangeSettingsRequest {
            expected_version: expected,
            changes,
        };
        // Setting the same again changes nothing, unless a version is expected: then whoever asks
        // again would hear of a conflict with themselves.
        let kind = match expected {
            Some(_) => Kind::Write,
            None => Kind::Read,
        };
        let send =
            |channel, request| async move { SettingsClient::new(channel).change(request).await };
        let changed = self.shared.call(kind, self.patience(), request, send);
        Ok(changed.await?.0.version)
    }
}
