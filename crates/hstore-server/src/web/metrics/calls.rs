//! The calls of gRPC.

use super::text::{Kind, Text};
use crate::grpc::{Method, UNARY, methods};
use crate::meter::{CALLS, CODES, MethodMeter, client_versions};

/// Writes what was called, how it went and how long it took.
pub(super) fn write(text: &mut Text) {
    let all = || methods().iter().zip(&CALLS);
    let name = "grpc_server_started_total";
    text.family(name, Kind::Counter, "Calls of gRPC that began.");
    for (method, meter) in all() {
        text.sample(name, &labels(method), meter.started.get());
    }
    let name = "grpc_server_handled_total";
    text.family(name, Kind::Counter, "Calls of gRPC that ended, by how.");
    for (method, meter) in all() {
        for (code, handled) in CODES.iter().zip(&meter.handled) {
            let handled = handled.get();
            // Those that never were would be most of the page.
            if handled > 0 || *code == "OK" {
                let [kind, service, name_of] = labels(method);
                text.sample(
                    name,
                    &[("grpc_code", code), name_of, service, kind],
                    handled,
                );
            }
        }
    }
    let name = "grpc_server_handling_seconds";
    text.family(
        name,
        Kind::Histogram,
        "How long calls of gRPC took that are no streams.",
    );
    for (method, meter) in all().filter(|(method, _)| method.kind == UNARY) {
        let took = meter.seconds.snapshot();
        if took.count > 0 {
            text.histogram(name, &labels(method), &took);
        }
    }
    let name = "etcd_server_client_requests_total";
    text.family(
        name,
        Kind::Counter,
        "Calls by the version of etcd's API that clients say they speak.",
    );
    for (kind, version, calls) in client_versions() {
        let labels = [("client_api_version", version.as_str()), ("type", kind)];
        text.sample(name, &labels, calls);
    }
    let sum = |part: fn(&MethodMeter) -> u64| CALLS.iter().map(part).sum::<u64>();
    text.counter(
        "etcd_network_client_grpc_received_bytes_total",
        "Bytes of requests of gRPC clients.",
        sum(|meter| meter.received_bytes.get()),
    );
    text.counter(
        "etcd_network_client_grpc_sent_bytes_total",
        "Bytes of answers to gRPC clients.",
        sum(|meter| meter.sent_bytes.get()),
    );
    for (name, method, help) in [
        (
            "etcd_mvcc_delete_total",
            "DeleteRange",
            "Deletions that this node answered.",
        ),
        (
            "etcd_mvcc_put_total",
            "Put",
            "Writes that this node answered.",
        ),
        (
            "etcd_mvcc_range_total",
            "Range",
            "Reads that this node answered.",
        ),
        (
            "etcd_mvcc_txn_total",
            "Txn",
            "Transactions that this node answered.",
        ),
    ] {
        let of =
            |it: &(&Method, &MethodMeter)| it.0.service == "etcdserverpb.KV" && it.0.name == method;
        let answered: u64 = all()
            .filter(of)
            .map(|(_, meter)| meter.handled[0].get())
            .sum();
        text.counter(name, help, answered);
    }
}

fn labels(method: &Method) -> [(&'static str, &'static str); 3] {
    [
        ("grpc_type", method.kind),
        ("grpc_service", method.service),
        ("grpc_method", method.name),
    ]
}
