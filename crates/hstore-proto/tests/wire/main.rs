//! The bytes on the wire, which etcd's clients fixed for ever: computed by hand from the published
//! field numbers, not from our own encoder.

mod failures;
mod operators;
mod services;

use std::fmt::Debug;
use std::fmt::Write as _;

use bytes::Bytes;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use hstore_proto::etcdserverpb::request_op::Request;
use hstore_proto::etcdserverpb::response_op::Response;
use hstore_proto::etcdserverpb::watch_create_request::FilterType;
use hstore_proto::etcdserverpb::watch_request::RequestUnion as Union;
use hstore_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse,
    DowngradeInfo, Member, MemberListResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, ResponseHeader, ResponseOp, StatusResponse, TxnRequest, TxnResponse,
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use hstore_proto::mvccpb::event::EventType;
use hstore_proto::mvccpb::{Event, KeyValue};
use prost::Message;

fn golden<M: Message + Default + PartialEq + Debug>(message: &M, hex: &str) {
    let hex = hex.replace(' ', "");
    let encoded = message
        .encode_to_vec()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes every write");
            text
        });
    assert_eq!(encoded, hex);
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("the table is hexadecimal"))
        .collect();
    assert_eq!(&M::decode(&bytes[..]).expect("the table is valid"), message);
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn header() -> ResponseHeader {
    ResponseHeader {
        cluster_id: 1,
        member_id: 2,
        revision: 3,
        raft_term: 300,
    }
}

const HEADER: &str = "0801 1002 1803 20ac02";

fn key_value() -> KeyValue {
    KeyValue {
        key: text("k"),
        create_revision: 2,
        mod_revision: 3,
        version: 4,
        value: text("v"),
        lease: 5,
    }
}

const KEY_VALUE: &str = "0a016b 1002 1803 2004 2a0176 3005";

#[test]
fn a_put_keeps_its_bytes() {
    let request = PutRequest {
        key: text("k"),
        value: text("v"),
        lease: 5,
        prev_kv: true,
        ignore_value: true,
        ignore_lease: true,
    };
    golden(&request, "0a016b 120176 1805 2001 2801 3001");
    let response = PutResponse {
        header: Some(header()),
        prev_kv: Some(key_value()),
    };
    golden(&response, &format!("0a09{HEADER} 120e{KEY_VALUE}"));
}

#[test]
fn a_range_keeps_its_bytes() {
    let request = RangeRequest {
        key: text("k"),
        range_end: text("z"),
        limit: -1,
        revision: 300,
        sort_order: SortOrder::Descend.into(),
        sort_target: SortTarget::Value.into(),
        serializable: true,
        keys_only: true,
        count_only: true,
        min_mod_revision: 1,
        max_mod_revision: 2,
        min_create_revision: 3,
        max_create_revision: 4,
        uncounted: false,
    };
    let etcds =
        "0a016b 12017a 18ffffffffffffffffff01 20ac02 2802 3004 3801 4001 4801 5001 5802 6003 6804";
    golden(&request, etcds);
    let ours = RangeRequest {
        uncounted: true,
        ..request
    };
    golden(&ours, &format!("{etcds} c83e01"));
    let response = RangeResponse {
        header: Some(header()),
        kvs: vec![key_value()],
        more: true,
        count: 9,
    };
    golden(
        &response,
        &format!("0a09{HEADER} 120e{KEY_VALUE} 1801 2009"),
    );
}

#[test]
fn a_deletion_keeps_its_bytes() {
    let request = DeleteRangeRequest {
        key: text("k"),
        range_end: text("z"),
        prev_kv: true,
    };
    golden(&request, "0a016b 12017a 1801");
    let response = DeleteRangeResponse {
        header: Some(header()),
        deleted: 1,
        prev_kvs: vec![key_value()],
    };
    golden(&response, &format!("0a09{HEADER} 1001 1a0e{KEY_VALUE}"));
}

#[test]
fn a_compaction_keeps_its_bytes() {
    let request = CompactionRequest {
        revision: 300,
        physical: true,
    };
    golden(&request, "08ac02 1001");
    let response = CompactionResponse {
        header: Some(header()),
    };
    golden(&response, &format!("0a09{HEADER}"));
}

#[test]
fn a_transaction_keeps_its_bytes() {
    let compare = |result: CompareResult, target: CompareTarget, union: TargetUnion| Compare {
        result: result.into(),
        target: target.into(),
        key: text("k"),
        target_union: Some(union),
        range_end: text("z"),
    };
    let step = |request: Request| RequestOp {
        request: Some(request),
    };
    let request = TxnRequest {
        compare: vec![
            compare(
                CompareResult::Equal,
                CompareTarget::Version,
                TargetUnion::Version(1),
            ),
            compare(
                CompareResult::Greater,
                CompareTarget::Create,
                TargetUnion::CreateRevision(2),
            ),
            compare(
                CompareResult::Less,
                CompareTarget::Mod,
                TargetUnion::ModRevision(3),
            ),
            compare(
                CompareResult::NotEqual,
                CompareTarget::Value,
                TargetUnion::Value(text("v")),
            ),
            compare(
                CompareResult::Equal,
                CompareTarget::Lease,
                TargetUnion::Lease(5),
            ),
        ],
        success: vec![
            step(Request::RequestRange(RangeRequest {
                key: text("k"),
                ..RangeRequest::default()
            })),
            step(Request::RequestPut(PutRequest {
                key: text("k"),
                ..PutRequest::default()
            })),
        ],
        failure: vec![
            step(Request::RequestDeleteRange(DeleteRangeRequest {
                key: text("k"),
                ..DeleteRangeRequest::default()
            })),
            step(Request::RequestTxn(TxnRequest::default())),
        ],
    };
    golden(
        &request,
        "0a09 1a016b 2001 8204017a \
         0a0d 0801 1001 1a016b 2802 8204017a \
         0a0d 0802 1002 1a016b 3003 8204017a \
         0a0e 0803 1003 1a016b 3a0176 8204017a \
         0a0b 1004 1a016b 4005 8204017a \
         1205 0a03 0a016b \
         1205 1203 0a016b \
         1a05 1a03 0a016b \
         1a02 2200",
    );
    let done = |response: Response| ResponseOp {
        response: Some(response),
    };
    let response = TxnResponse {
        header: Some(header()),
        succeeded: true,
        responses: vec![
            done(Response::ResponseRange(RangeResponse::default())),
            done(Response::ResponsePut(PutResponse::default())),
            done(Response::ResponseDeleteRange(DeleteRangeResponse::default())),
            done(Response::ResponseTxn(TxnResponse::default())),
        ],
    };
    golden(
        &response,
        &format!("0a09{HEADER} 1001 1a020a00 1a021200 1a021a00 1a022200"),
    );
}

#[test]
fn a_watch_keeps_its_bytes() {
    let asked = |request: Union| WatchRequest {
        request_union: Some(request),
    };
    let create = WatchCreateRequest {
        key: text("k"),
        range_end: text("z"),
        start_revision: 300,
        progress_notify: true,
        filters: vec![FilterType::Noput.into(), FilterType::Nodelete.into()],
        prev_kv: true,
        watch_id: 7,
        fragment: true,
    };
    golden(
        &asked(Union::CreateRequest(create)),
        "0a15 0a016b 12017a 18ac02 2001 2a020001 3001 3807 4001",
    );
    let cancel = WatchCancelRequest { watch_id: 7 };
    golden(&asked(Union::CancelRequest(cancel)), "1202 0807");
    let progress = WatchProgressRequest {};
    golden(&asked(Union::ProgressRequest(progress)), "1a00");
    let event = Event {
        r#type: EventType::Delete.into(),
        kv: Some(key_value()),
        prev_kv: Some(key_value()),
    };
    let etcds = format!(
        "0a09{HEADER} 1007 1801 2001 2805 320172 3801 5a22 0801 120e{KEY_VALUE} 1a0e{KEY_VALUE}"
    );
    let response = WatchResponse {
        header: Some(header()),
        watch_id: 7,
        created: true,
        canceled: true,
        compact_revision: 5,
        cancel_reason: "r".to_owned(),
        fragment: true,
        events: vec![event],
        code: String::new(),
        detail: String::new(),
    };
    golden(&response, &etcds);
    let ours = WatchResponse {
        code: "c".to_owned(),
        detail: "d".to_owned(),
        ..response
    };
    golden(&ours, &format!("{etcds} ca3e0163 d23e0164"));
}

#[test]
fn the_state_of_a_node_keeps_its_bytes() {
    let member = Member {
        id: 1,
        name: "a".to_owned(),
        peer_ur_ls: vec!["p".to_owned()],
        client_ur_ls: vec!["c".to_owned()],
        is_learner: true,
    };
    let list = MemberListResponse {
        header: Some(header()),
        members: vec![member],
    };
    golden(
        &list,
        &format!("0a09{HEADER} 120d 0801 120161 1a0170 220163 2801"),
    );
    let status = StatusResponse {
        header: Some(header()),
        version: "v".to_owned(),
        db_size: 3,
        leader: 4,
        raft_index: 5,
        raft_term: 6,
        raft_applied_index: 7,
        errors: vec!["e".to_owned()],
        db_size_in_use: 9,
        is_learner: true,
        storage_version: "s".to_owned(),
        db_size_quota: 12,
        downgrade_info: Some(DowngradeInfo::default()),
    };
    golden(
        &status,
        &format!("0a09{HEADER} 120176 1803 2004 2805 3006 3807 420165 4809 5001 5a0173 600c 6a00"),
    );
}
