//! Messages by their descriptors: the protos as they are in the tree, read when the test starts.
//!
//! Invariant: an answer keeps every field that came, also those that our protos do not have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
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

/// No etcd that is asked has this one yet, so there is nothing to compare.
const NEWER_THAN_ALL: &str = "KV.RangeStream";

/// Fields from here on are ours, beside etcd's.
const OURS: u32 = 1000;

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

    /// Fails unless every field of every request that an etcd here understands is said in a case.
    pub(super) fn check_that_all_is_said(&self, cases: &[Case]) {
        let mut missing = Vec::new();
        for method in self
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
        {
            let name = format!("{}.{}", method.parent_service().name(), method.name());
            if name == NEWER_THAN_ALL {
                continue;
            }
            let requests = cases.iter().flat_map(Case::requests);
            let requests = requests.filter(|(called, _)| *called == name);
            let said: BTreeSet<&str> = requests.flat_map(|(_, text)| names(text)).collect();
            let mut fields = BTreeSet::new();
            collect(&method.input(), &mut BTreeSet::new(), &mut fields);
            let unsaid = fields.iter().filter(|field| !said.contains(field.as_str()));
            missing.extend(unsaid.map(|field| format!("{name}: {field}")));
        }
        assert!(missing.is_empty(), "no case says {missing:?}");
    }

    fn services(&self) -> impl Iterator<Item = ServiceDescriptor> + '_ {
        self.pool.services()
    }
}

/// The names of all fields of a message and of those in it, but for ours.
fn collect(of: &MessageDescriptor, seen: &mut BTreeSet<String>, names: &mut BTreeSet<String>) {
    if !seen.insert(of.full_name().to_owned()) {
        return;
    }
    for field in of.fields().filter(|field| field.number() < OURS) {
        names.insert(field.name().to_owned());
        if let Kind::Message(inner) = field.kind() {
            collect(&inner, seen, names);
        }
    }
}

/// The words of a request that a colon or a brace follows.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let ends = text.match_indices([':', '{']).map(move |(end, _)| {
        let before = text[..end].trim_end();
        let start = before.rfind(|c: char| !is_part(c));
        &before[start.map_or(0, |at| at + 1)..]
    });
    ends.filter(|name| !name.is_empty())
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
