//! Who may call what: the one table of everything that is served on the client port.
//!
//! The door looks a call up before anything else is done with it. Whoever adds a method adds its
//! line here, or nobody can call it: what is not in the table does not exist. A line says what is
//! needed while users are asked who they are; until then everybody may call everything.
//!
//! Invariants: (1) a path stands here once, in the order of paths; (2) a test compares the table
//! with the methods that `proto/` describes, so that none is missing and none is left over.

/// What a caller needs while authentication is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: no token is looked at.
    Anyone,
    /// To be a user; which keys it may read or write is decided where the store is.
    Keys,
    /// To be a user; the handler looks at what is asked for, and whoever has the role root may ask
    /// for everything.
    Own,
    /// The role root.
    Root,
    /// To be a user.
    User,
}

/// Every path of the client port.
pub(crate) const TABLE: &[(&str, Need)] = &[
    ("/etcdserverpb.Auth/AuthDisable", Need::Root),
    ("/etcdserverpb.Auth/AuthEnable", Need::Root),
    ("/etcdserverpb.Auth/AuthStatus", Need::Anyone),
    ("/etcdserverpb.Auth/Authenticate", Need::Anyone),
    ("/etcdserverpb.Auth/RoleAdd", Need::Root),
    ("/etcdserverpb.Auth/RoleDelete", Need::Root),
    ("/etcdserverpb.Auth/RoleGet", Need::Own),
    ("/etcdserverpb.Auth/RoleGrantPermission", Need::Root),
    ("/etcdserverpb.Auth/RoleList", Need::Root),
    ("/etcdserverpb.Auth/RoleRevokePermission", Need::Root),
    ("/etcdserverpb.Auth/UserAdd", Need::Root),
    ("/etcdserverpb.Auth/UserChangePassword", Need::Root),
    ("/etcdserverpb.Auth/UserDelete", Need::Root),
    ("/etcdserverpb.Auth/UserGet", Need::Own),
    ("/etcdserverpb.Auth/UserGrantRole", Need::Root),
    ("/etcdserverpb.Auth/UserList", Need::Root),
    ("/etcdserverpb.Auth/UserRevokeRole", Need::Root),
    ("/etcdserverpb.Cluster/MemberAdd", Need::Root),
    ("/etcdserverpb.Cluster/MemberList", Need::User),
    ("/etcdserverpb.Cluster/MemberPromote", Need::Root),
    ("/etcdserverpb.Cluster/MemberRemove", Need::Root),
    ("/etcdserverpb.Cluster/MemberUpdate", Need::Root),
    ("/etcdserverpb.KV/Compact", Need::Root),
    ("/etcdserverpb.KV/DeleteRange", Need::Keys),
    ("/etcdserverpb.KV/Put", Need::Keys),
    ("/etcdserverpb.KV/Range", Need::Keys),
    ("/etcdserverpb.KV/RangeStream", Need::Keys),
    ("/etcdserverpb.KV/Txn", Need::Keys),
    ("/etcdserverpb.Lease/LeaseGrant", Need::User),
    ("/etcdserverpb.Lease/LeaseKeepAlive", Need::User),
    ("/etcdserverpb.Lease/LeaseLeases", Need::User),
    ("/etcdserverpb.Lease/LeaseRevoke", Need::Keys),
    ("/etcdserverpb.Lease/LeaseTimeToLive", Need::Keys),
    ("/etcdserverpb.Maintenance/Alarm", Need::User),
    ("/etcdserverpb.Maintenance/Defragment", Need::Root),
    ("/etcdserverpb.Maintenance/Downgrade", Need::Root),
    ("/etcdserverpb.Maintenance/Hash", Need::Root),
    ("/etcdserverpb.Maintenance/HashKV", Need::Root),
    ("/etcdserverpb.Maintenance/MoveLeader", Need::Root),
    ("/etcdserverpb.Maintenance/Snapshot", Need::Root),
    ("/etcdserverpb.Maintenance/Status", Need::User),
    ("/etcdserverpb.Watch/Watch", Need::Keys),
    ("/grpc.health.v1.Health/Check", Need::Anyone),
    ("/grpc.health.v1.Health/Watch", Need::Anyone),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Need::Anyone,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Need::Anyone,
    ),
    ("/hstore.v1.Cluster/AddMember", Need::Root),
    ("/hstore.v1.Cluster/AllocateNode", Need::Root),
    ("/hstore.v1.Cluster/Describe", Need::User),
    ("/hstore.v1.Cluster/RemoveMember", Need::Root),
    ("/hstore.v1.Cluster/TransferLeader", Need::Root),
    ("/hstore.v1.Kv/History", Need::Keys),
    ("/hstore.v1.Node/Examine", Need::Root),
    ("/hstore.v1.Node/Kill", Need::Root),
    ("/hstore.v1.Node/Logs", Need::Root),
    ("/hstore.v1.Node/Past", Need::User),
    ("/hstore.v1.Node/Restart", Need::Root),
    ("/hstore.v1.Node/Start", Need::Root),
    ("/hstore.v1.Node/Status", Need::User),
    ("/hstore.v1.Node/Stop", Need::Root),
    ("/hstore.v1.Settings/Change", Need::Root),
    ("/hstore.v1.Settings/Get", Need::User),
    ("/v3electionpb.Election/Campaign", Need::Keys),
    ("/v3electionpb.Election/Leader", Need::Keys),
    ("/v3electionpb.Election/Observe", Need::Keys),
    ("/v3electionpb.Election/Proclaim", Need::Keys),
    ("/v3electionpb.Election/Resign", Need::Keys),
    ("/v3lockpb.Lock/Lock", Need::Keys),
    ("/v3lockpb.Lock/Unlock", Need::Keys),
];

/// The place of a path in the table; none when there is no such path.
pub(crate) fn place(path: &str) -> Option<usize> {
    TABLE.binary_search_by_key(&path, |(path, _)| path).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Served on the port of the peers.
    const ELSEWHERE: [&str; 1] = ["hstore.v1.Peer"];

    /// Every method that `proto/` describes for the client port.
    fn described() -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(hstore_proto::DESCRIPTORS).unwrap();
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                if ELSEWHERE.contains(&name.as_str()) {
                    continue;
                }
                for method in &service.method {
                    paths.insert(format!("/{name}/{}", method.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn every_method_has_its_line_and_every_line_its_method() {
        let lines: BTreeSet<String> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        let described = described();
        let missing: Vec<_> = described.difference(&lines).collect();
        let left_over: Vec<_> = lines.difference(&described).collect();
        assert!(described.len() > 20);
        assert!(missing.is_empty(), "nobody could call {missing:?}");
        assert!(left_over.is_empty(), "no proto describes {left_over:?}");
    }

    #[test]
    fn lines_stand_in_order_so_that_each_is_found() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        for (path, line) in TABLE {
            let found = place(path).map(|place| TABLE[place].1);
            assert_eq!(found, Some(*line), "{path}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_not_there() {
        for path in [
            "",
            "/",
            "/etcdserverpb.KV",
            "/etcdserverpb.KV/",
            "/etcdserverpb.KV/Put/",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
