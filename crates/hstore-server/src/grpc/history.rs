//! hstore's Kv service: what etcd's cannot say about keys.

use hstore_core::check::{self, Violation};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::range::Range;
use hstore_node::{Consistency, Node};
use hstore_proto::convert::answer;
use hstore_proto::convert::request::RequestError;
use hstore_proto::hstore::v1::kv_server::Kv;
use hstore_proto::hstore::v1::{HistoryRequest, HistoryResponse};
use hstore_proto::status;
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};

/// How many records a page has when the caller does not say, and at most.
const RECORDS_MAX: u64 = 1000;

/// hstore's Kv service over a node.
#[derive(Clone, Debug)]
pub(super) struct HistoryDoor {
    pub(super) node: Node,
    pub(super) limits: Limits,
}

#[tonic::async_trait]
impl Kv for HistoryDoor {
    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let request = request.into_inner();
        check::range(&Range::of(KeyRange::One(request.key.clone())), &self.limits).map_err(
            |violation: Violation| status::refused_request(&RequestError::Check(violation)),
        )?;
        let limit = match request.limit {
            0 => RECORDS_MAX,
            limit => limit.min(RECORDS_MAX),
        };
        // One more than asked for tells whether there are more.
        let (header, mut records) = self
            .node
            .history(
                &call.author,
                request.key,
                limit + 1,
                Revision(request.before_revision.max(0)),
                Consistency::Linearizable,
                call.deadline,
            )
            .await
            .map_err(|error| node_error(&error))?;
        let more = records.len() as u64 > limit;
        records.truncate(limit as usize);
        Ok(Response::new(HistoryResponse {
            revision: header.revision.0,
            compacted_revision: self.node.status().store.compacted.0,
            records: records.into_iter().map(answer::history_record).collect(),
            more,
        }))
    }
}
