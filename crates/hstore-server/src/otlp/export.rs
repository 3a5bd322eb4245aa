//! Brings spans to a collector, some at a time.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::Request;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::wire::{
    Attribute, ExportRequest, ExportResponse, Resource, ResourceSpans, Scope, ScopeSpans, Span,
};
use super::{DROPPED, EXPORTED};

/// The method of a collector.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// So many spans go at a time.
const BATCH_MAX: usize = 512;

/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(200);

/// How long a collector may take.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// Where a collector is, if the text says so: `http://HOST:PORT`.
pub(crate) fn endpoint(text: &str) -> Option<Endpoint> {
    let endpoint = Endpoint::from_shared(text.to_owned()).ok()?;
    let uri = endpoint.uri();
    let plain = uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
    (plain && matches!(uri.path(), "" | "/") && uri.query().is_none()).then_some(endpoint)
}

/// Brings spans to a collector.
#[derive(Debug)]
pub(crate) struct Exporter {
    channel: Channel,
    resource: Resource,
}

impl Exporter {
    /// To this collector, which is connected to when there is something to bring.
    pub(crate) fn new(to: &Endpoint, node: &str, cluster: &str, instance: u64) -> Exporter {
        let to = to.clone().connect_timeout(EXPORT_MAX).timeout(EXPORT_MAX);
        Exporter {
            channel: to.connect_lazy(),
            resource: Resource {
                attributes: vec![
                    Attribute::text("service.name", "hstore"),
                    Attribute::text("service.version", env!("CARGO_PKG_VERSION")),
                    Attribute::text("service.namespace", cluster),
                    Attribute::text("service.instance.id", instance.to_string()),
                    Attribute::text("hstore.node", node),
                ],
            },
        }
    }

    /// Runs until nobody makes spans any more.
    pub(crate) async fn run(self, mut spans: mpsc::Receiver<Span>) {
        let mut was_well = true;
        loop {
            let mut batch = Vec::new();
            if spans.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
            if batch.len() < BATCH_MAX {
                sleep(GATHER).await;
                while batch.len() < BATCH_MAX
                    && let Ok(span) = spans.try_recv()
                {
                    batch.push(span);
                }
            }
            let count = batch.len() as u64;
            match self.export(batch).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    EXPORTED.add(count - rejected);
                    DROPPED.add(rejected);
                    was_well = true;
                }
                Err(why) => {
                    DROPPED.add(count);
                    // Once, not with every batch: it may be gone for a night.
                    if was_well {
                        tracing::warn!("the collector of traces takes none: {why}");
                    }
                    was_well = false;
                }
            }
        }
    }

    /// Brings a batch; how many of it the collector did not want.
    async fn export(&self, spans: Vec<Span>) -> Result<u64, String> {
        let request = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(Scope {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                    }),
                    spans,
                }],
            }],
        };
        let mut client = Grpc::new(self.channel.clone());
        let sent = timeout(EXPORT_MAX, async {
            client.ready().await.map_err(|error| error.to_string())?;
            let codec: ProstCodec<ExportRequest, ExportResponse> = ProstCodec::default();
            let path = PathAndQuery::from_static(EXPORT);
            let answer = client.unary(Request::new(request), path, codec).await;
            let answer = answer.map_err(|status| status.to_string())?.into_inner();
            let rejected = answer.partial_success.unwrap_or_default().rejected_spans;
            Ok(u64::try_from(rejected).unwrap_or(0))
        });
        sent.await
            .unwrap_or_else(|_elapsed| Err("it did not answer in time".to_owned()))
    }
}
