//! gRPC's reflection: what is served here, for tools that have no protos of ours.
//!
//! There are two versions of it that differ in their name alone: the door takes a call of the older
//! one for one of this.

use std::collections::BTreeSet;
use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use hstore_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use hstore_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use hstore_proto::grpc::reflection::v1::server_reflection_server::ServerReflection;
use hstore_proto::grpc::reflection::v1::{
    ErrorResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};
use prost_reflect::FileDescriptor;
use tonic::{Code, Request, Response, Status, Streaming};

use super::access;
use super::described::DESCRIBED;

/// gRPC's reflection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReflectionDoor;

#[tonic::async_trait]
impl ServerReflection for ReflectionDoor {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let answers = request.into_inner().map(|asked| asked.map(answer));
        Ok(Response::new(answers.boxed()))
    }
}

fn answer(asked: ServerReflectionRequest) -> ServerReflectionResponse {
    let told = match &asked.message_request {
        Some(MessageRequest::FileByFilename(name)) => files(DESCRIBED.get_file_by_name(name), name),
        Some(MessageRequest::FileContainingSymbol(name)) => files(file_of(name), name),
        Some(MessageRequest::ListServices(_)) => services(),
        Some(MessageRequest::FileContainingExtension(asked)) => refused(
            Code::NotFound,
            &format!("{} has no extensions", asked.containing_type),
        ),
        Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
            refused(Code::NotFound, &format!("{name} has no extensions"))
        }
        None => refused(Code::InvalidArgument, "nothing was asked"),
    };
    ServerReflectionResponse {
        valid_host: asked.host.clone(),
        original_request: Some(asked),
        message_response: Some(told),
    }
}

/// The services that can be called here.
fn services() -> MessageResponse {
    let names = access::TABLE.iter().filter_map(|(path, _)| {
        let (service, _method) = path.strip_prefix('/')?.split_once('/')?;
        Some(service)
    });
    let names: BTreeSet<&str> = names.collect();
    let service = names.into_iter().map(|name| ServiceResponse {
        name: name.to_owned(),
    });
    MessageResponse::ListServicesResponse(ListServiceResponse {
        service: service.collect(),
    })
}

/// Where a service, a method, a message, a field or a kind is described.
fn file_of(name: &str) -> Option<FileDescriptor> {
    let whole = |name: &str| {
        let service = DESCRIBED
            .get_service_by_name(name)
            .map(|it| it.parent_file());
        let message = || {
            DESCRIBED
                .get_message_by_name(name)
                .map(|it| it.parent_file())
        };
        let kind = || DESCRIBED.get_enum_by_name(name).map(|it| it.parent_file());
        service.or_else(message).or_else(kind)
    };
    whole(name).or_else(|| {
        let (parent, part) = name.rsplit_once('.')?;
        let method = DESCRIBED
            .get_service_by_name(parent)
            .is_some_and(|service| service.methods().any(|method| method.name() == part));
        let field = DESCRIBED
            .get_message_by_name(parent)
            .is_some_and(|message| message.get_field_by_name(part).is_some());
        if method || field { whole(parent) } else { None }
    })
}

/// A file, then what it imports, each once.
fn files(found: Option<FileDescriptor>, name: &str) -> MessageResponse {
    let Some(found) = found else {
        return refused(Code::NotFound, &format!("there is no {name}"));
    };
    let mut told: Vec<FileDescriptor> = vec![found];
    let mut next = 0;
    while next < told.len() {
        let imports: Vec<FileDescriptor> = told[next].dependencies().collect();
        for import in imports {
            if !told.contains(&import) {
                told.push(import);
            }
        }
        next += 1;
    }
    let file_descriptor_proto = told.iter().map(|file| Bytes::from(file.encode_to_vec()));
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
        file_descriptor_proto: file_descriptor_proto.collect(),
    })
}

fn refused(code: Code, why: &str) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: code as i32,
        error_message: why.to_owned(),
    })
}
