//! What goes over the wire: the types that `proto/` describes, their conversion from and to the
//! words of the core, and how a failure travels.
//!
//! This room knows no socket and no node. Invariants: (1) nothing that comes from the wire becomes
//! a command before every check of the door has passed; (2) a failure is translated in `status`
//! and nowhere else.

pub mod convert;
pub mod metadata;
mod secret;
pub mod status;

/// What `proto/` describes, compiled: a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// etcd's permissions.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// etcd's services and messages.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// etcd's key-value pair.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// The services that every server of gRPC has.
pub mod grpc {
    /// Whether a service answers.
    pub mod health {
        /// Version 1.
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            reason = "generated code"
        )]
        pub mod v1 {
            tonic::include_proto!("grpc.health.v1");
        }
    }

    /// What is served.
    pub mod reflection {
        /// Version 1.
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            reason = "generated code"
        )]
        pub mod v1 {
            tonic::include_proto!("grpc.reflection.v1");
        }

        /// What version 1 was called before.
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            reason = "generated code"
        )]
        pub mod v1alpha {
            tonic::include_proto!("grpc.reflection.v1alpha");
        }
    }
}

/// etcd's Election service.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// etcd's Lock service.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// hstore's own services and messages.
pub mod hstore {
    /// Version 1.
    #[allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated code"
    )]
    pub mod v1 {
        tonic::include_proto!("hstore.v1");
    }
}
