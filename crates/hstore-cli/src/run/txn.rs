//! `txn`: compare, then do one of two lists of steps.

mod clauses;
mod etcd;

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use hstore_client::KeyValue;
use hstore_client::etcdserverpb::response_op::Response;
use hstore_client::etcdserverpb::{ResponseOp, TxnRequest};

use self::clauses::Clauses;
use crate::args::Txn;
use crate::failure::Failure;
use crate::input::waited;
use crate::render::{Data, Done, TxnReport};
use crate::run::Context;

/// The most that is read from the standard input; a node takes far less.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) async fn run(context: &Context, args: &Txn) -> Result<Data, Failure> {
    let mut lines = Vec::new();
    for clause in &args.clauses {
        let text = std::str::from_utf8(clause.as_bytes()).map_err(|_not_text| {
            Failure::Usage("a clause is UTF-8; other bytes are typed as \\xff".to_owned())
        })?;
        lines.push(text.to_owned());
    }
    let clauses = if lines.is_empty() {
        let text = standard_input(context).await?;
        if etcd::is_etcd(&text) {
            etcd::read(context.input, &text)?
        } else {
            Clauses::read(context.input, text.lines())?
        }
    } else {
        Clauses::read(context.input, lines.iter().map(String::as_str))?
    };
    let has_else = !clauses.failure.is_empty();
    let request = TxnRequest {
        compare: clauses.compare,
        success: clauses.success,
        failure: clauses.failure,
    };
    let answer = context.client.txn(request).await?;
    if !answer.succeeded && !has_else {
        return Err(Failure::Lost(
            "a comparison did not hold; nothing was done".to_owned(),
        ));
    }
    Ok(Data::Txn(TxnReport {
        succeeded: answer.succeeded,
        revision: answer.header.map_or(0, |header| header.revision),
        steps: answer.responses.into_iter().filter_map(done).collect(),
    }))
}

fn done(step: ResponseOp) -> Option<Done> {
    match step.response? {
        Response::ResponsePut(_) => Some(Done::Set),
        Response::ResponseRange(range) => {
            let pairs = range.kvs.into_iter().map(KeyValue::from);
            Some(Done::Get(pairs.collect()))
        }
        Response::ResponseDeleteRange(deleted) => Some(Done::Deleted(deleted.deleted as u64)),
        // There is no way to say one.
        Response::ResponseTxn(_) => None,
    }
}

async fn standard_input(context: &Context) -> Result<String, Failure> {
    if !context.input.stdin {
        return Err(Failure::Usage(
            "the standard input is taken by the lines of the shell; give each clause in quotes"
                .to_owned(),
        ));
    }
    waited("the standard input", || {
        let failure = |error| Failure::File {
            what: "the standard input".to_owned(),
            error,
        };
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(INPUT_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failure)?;
        Ok(text)
    })
    .await
}
