//! The services that every server of gRPC has.

use futures::{StreamExt as _, stream};
use hstore_proto::grpc::health::v1::HealthCheckRequest;
use hstore_proto::grpc::health::v1::health_check_response::ServingStatus;
use hstore_proto::grpc::health::v1::health_client::HealthClient;
use hstore_proto::grpc::reflection::v1::ServerReflectionRequest;
use hstore_proto::grpc::reflection::v1::server_reflection_client::ServerReflectionClient;
use hstore_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use hstore_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use hstore_proto::grpc::reflection::v1alpha;
use hstore_proto::grpc::reflection::v1alpha::server_reflection_client::ServerReflectionClient as OlderClient;
use prost::Message as _;
use tokio::time::timeout;
use tonic::Code;

use super::{LONG, world};

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn a_node_that_answers_is_healthy_until_it_ends() {
    let world = world().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in ["", "etcdserverpb.KV", "grpc.health.v1.Health"] {
        let told = health.check(about(service)).await.unwrap().into_inner();
        assert_eq!(told.status(), ServingStatus::Serving, "{service}");
    }
    let refused = health.check(about("no.Such")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let mut unknown = health.watch(about("no.Such")).await.unwrap().into_inner();
    let told = unknown.message().await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::ServiceUnknown);
    let mut news = health.watch(about("")).await.unwrap().into_inner();
    let told = news.message().await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::Serving);
    world.node.abort();
    let told = timeout(LONG, news.message())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
}

fn ask(question: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: "here".to_owned(),
        message_request: Some(question),
    }
}

#[tokio::test]
async fn what_is_served_is_described_in_both_versions() {
    let world = world().await;
    let symbol = |name: &str| ask(MessageRequest::FileContainingSymbol(name.to_owned()));
    let questions = vec![
        ask(MessageRequest::ListServices(String::new())),
        symbol("etcdserverpb.KV"),
        symbol("etcdserverpb.KV.Put"),
        symbol("etcdserverpb.RangeRequest.SortOrder"),
        symbol("mvccpb.KeyValue.lease"),
        symbol("etcdserverpb.KV.Never"),
        ask(MessageRequest::FileByFilename("etcd/kv.proto".to_owned())),
        ask(MessageRequest::FileByFilename("never.proto".to_owned())),
        ask(MessageRequest::AllExtensionNumbersOfType("x".to_owned())),
        ServerReflectionRequest::default(),
    ];
    let expected = [
        "services", "rpc+kv", "rpc+kv", "rpc+kv", "kv", "5", "kv", "5", "5", "3",
    ];
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let asked = stream::iter(questions.clone());
    let answers = client.server_reflection_info(asked).await.unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    for ((answer, expected), question) in answers.iter().zip(expected).zip(&questions) {
        assert_eq!(answer.original_request.as_ref(), Some(question));
        let told = match answer.message_response.clone().unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                let names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
                assert!(names.is_sorted() && names.contains(&"etcdserverpb.KV".to_owned()));
                assert!(
                    !names.contains(&"hstore.v1.Peer".to_owned()),
                    "it is not here"
                );
                "services".to_owned()
            }
            MessageResponse::FileDescriptorResponse(files) => {
                let names = files.file_descriptor_proto.iter().map(|file| {
                    let file = prost_types::FileDescriptorProto::decode(file.clone()).unwrap();
                    let name = file.name().strip_prefix("etcd/").unwrap();
                    name.strip_suffix(".proto").unwrap().to_owned()
                });
                names.collect::<Vec<_>>().join("+")
            }
            MessageResponse::ErrorResponse(error) => error.error_code.to_string(),
            other @ MessageResponse::AllExtensionNumbersResponse(_) => panic!("{other:?}"),
        };
        assert_eq!(told, expected, "{question:?}");
    }
    assert_eq!(answers.len(), expected.len());

    let mut older = OlderClient::new(world.channel.clone());
    let asked = stream::iter(questions).map(|question| {
        v1alpha::ServerReflectionRequest::decode(question.encode_to_vec().as_slice()).unwrap()
    });
    let told = older.server_reflection_info(asked).await.unwrap();
    let told: Vec<_> = told.into_inner().map(Result::unwrap).collect().await;
    for (told, answer) in told.iter().zip(&answers) {
        assert_eq!(told.encode_to_vec(), answer.encode_to_vec());
    }
    assert_eq!(told.len(), answers.len());
}
