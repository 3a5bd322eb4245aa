//! Scenarios by name: each turns a seed into a plan.

mod family;
mod gryadka;
mod locks;
mod record;
mod rights;
mod settings;
mod swarm;

use crate::plan::Plan;

/// The scenario that is run when nobody names one.
pub const DEFAULT: &str = "swarm";

/// A scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// How a seed becomes a plan.
    pub plan: fn(u64) -> Plan,
}

/// Every scenario.
pub fn all() -> Vec<Scenario> {
    let mut all = vec![swarm::scenario()];
    all.extend(gryadka::all());
    all.extend(record::all());
    all.push(locks::scenario());
    all.extend(rights::all());
    all.push(settings::scenario());
    all
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_draws_the_same_plan_twice() {
        let names: BTreeSet<&str> = all().iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().len());
        assert_eq!(all().len(), 1 + 12 + 19 + 1 + 2 + 1);
        for scenario in all() {
            let (one, two) = ((scenario.plan)(7), (scenario.plan)(7));
            assert_eq!(one.strikes, two.strikes);
            assert_eq!(one.scenario, scenario.name);
            assert!(!one.strikes.is_empty(), "{}", scenario.name);
        }
    }
}
