//! Messages by their descriptors: the protos as they are in the tree, read when the test starts.
//!
//! Invariant: an answer keeps every field that came, also those that our protos do not have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::script::Case;

/// The folder of the protos.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");

/// The part of it that is etcd's.
const ETCD: &str = "etcd";

/// What etcd serves and did not invent.
const HEALTH: &str = "grpc/health.proto";

/// Every message and service of etcd's that the tree knows.
pub(super) struct Protos {
    pool: DescriptorPool,
}

impl Protos {
    pub(super) fn load() -> Protos {
        let root = Path::new(FOLDER);
        let files: Vec<PathBuf> = fs::read_dir(root.join(ETCD))
            .expect("etcd's protos are there")
            .map(|entry| entry.expect("the folder can be read").path())
            .filter(|path| path.extension().is_some_and(|end| end == "proto"))
            .chain([root.join(HEALTH)])
            .collect();
        let files = protox::compile(files, [root]).expect("the protos are valid");
        Protos {
            pool: DescriptorPool::from_file_descriptor_set(files).expect("the protos are whole"),
        }
    }

    /// `Service.Method`.
    pub(super) fn method(&self, name: &str) -> Option<MethodDescriptor> {
        let (service, method) = name.split_once('.')?;
        let service = self.services().find(|found| found.name() == service)?;
        service.methods().find(|found| found.name() == method)
    }

    pub(super) fn knows(&self, method: &str) -> bool {
        self.method(method).is_some()
    }

    /// Fails unless every method of every service has a case.
    pub(super) fn check_that_all_are_called(&self, cases: &[Case]) {
        let called: BTreeSet<_> = cases.iter().flat_map(Case::methods).collect();
        let mut missing = Vec::new();
        for service in self.services() {
            for method in service.methods() {
                let name = format!("{}.{}", service.name(), method.name());
                if !called.contains(name.as_str()) {
                    missing.push(name);
                }
            }
        }
        assert!(missing.is_empty(), "no case calls {missing:?}");
    }

    fn services(&self) -> impl Iterator<Item = ServiceDescriptor> + '_ {
        self.pool.services()
    }
}

/// Carries messages of one method.
#[derive(Clone)]
pub(super) struct DynamicCodec {
    pub(super) output: MessageDescriptor,
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicCodec;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicCodec {
        self.clone()
    }
}

impl Decoder for DynamicCodec {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.output.clone(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Writes any message.
pub(super) struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, bytes: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message
            .encode(bytes)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
