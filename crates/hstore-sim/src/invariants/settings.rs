//! Settings are part of the state: who has applied the same entries is at the same version of them, and no
//! later entry is at an earlier version, in any life of any node.

use std::collections::BTreeMap;

use hstore_core::id::LogIndex;
use hstore_core::settings::SettingsVersion;

use super::{Law, Sight};

/// The version at each index at which somebody was seen.
#[derive(Default)]
pub(super) struct Versions {
    at: BTreeMap<LogIndex, SettingsVersion>,
}

impl Versions {
    fn see(&mut self, index: LogIndex, version: SettingsVersion) -> Result<(), String> {
        let first = *self.at.entry(index).or_insert(version);
        if first != version {
            return Err(format!(
                "version {version} of the settings at entry {index}, where others had {first}"
            ));
        }
        let earlier = self.at.range(..index).next_back();
        if let Some((before, more)) = earlier.filter(|(_, earlier)| **earlier > version) {
            return Err(format!(
                "version {version} of the settings at entry {index}, after {more} at {before}"
            ));
        }
        let mut later = self.at.range(index..).skip(1);
        if let Some((after, less)) = later.next().filter(|(_, later)| **later < version) {
            return Err(format!(
                "version {version} of the settings at entry {index}, before {less} at {after}"
            ));
        }
        Ok(())
    }
}

impl Law for Versions {
    fn name(&self) -> &'static str {
        "settings_are_counted"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for seen in &sight.nodes {
            let status = &seen.status;
            let index = status.applied.map_or(LogIndex(0), |id| id.index);
            self.see(index, status.settings)
                .map_err(|how| format!("node {} has {how}", status.node))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_same_at_one_index_and_grow_with_it() {
        let mut versions = Versions::default();
        let mut see = |index, version| versions.see(LogIndex(index), SettingsVersion(version));
        for (index, version) in [(5, 1), (5, 1), (9, 3), (7, 1), (8, 3), (3, 0)] {
            assert_eq!(see(index, version), Ok(()));
        }
        for (index, version) in [(5, 0), (10, 2), (4, 2), (6, 2)] {
            assert!(see(index, version).is_err(), "{version} at {index}");
        }
    }
}
