//! From the wire back to the words of the core: what a client was answered, as those who record and
//! judge it need it. `answer` is the other direction.
//!
//! Invariant: what is answered here was on the wire, nothing is made up between.

use hstore_core::id::Revision;
use hstore_core::outcome::Reply;
use hstore_core::range::RangeResult;
use hstore_core::record::{Meta, Record};

use crate::etcdserverpb::response_op::Response;
use crate::etcdserverpb::{
    DeleteRangeResponse, PutResponse, RangeResponse, ResponseHeader, TxnResponse,
};
use crate::mvccpb::KeyValue;

/// An answer that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// It does not say when it is from.
    #[error("an answer without a header")]
    NoHeader,
    /// A step of a transaction has no answer.
    #[error("a transaction with a step that says nothing")]
    NoStep,
    /// It counted below nothing.
    #[error("an answer with a count below 0")]
    BelowZero,
}

impl BadAnswer {
    /// What is wrong with it.
    pub fn what(self) -> &'static str {
        match self {
            BadAnswer::NoHeader => "an answer without a header",
            BadAnswer::NoStep => "a transaction with a step that says nothing",
            BadAnswer::BelowZero => "an answer with a count below 0",
        }
    }
}

/// The revision in the head of an answer.
pub fn revision(header: Option<&ResponseHeader>) -> Result<Revision, BadAnswer> {
    let header = header.ok_or(BadAnswer::NoHeader)?;
    Ok(Revision(header.revision))
}

/// What a read found, and when.
pub fn range(answer: RangeResponse) -> Result<(Revision, Reply), BadAnswer> {
    let revision = revision(answer.header.as_ref())?;
    Ok((revision, Reply::Range(found(answer)?)))
}

/// The key was written.
pub fn put(answer: PutResponse) -> Result<(Revision, Reply), BadAnswer> {
    let revision = revision(answer.header.as_ref())?;
    Ok((revision, written(answer)))
}

/// Keys were deleted.
pub fn delete(answer: DeleteRangeResponse) -> Result<(Revision, Reply), BadAnswer> {
    let revision = revision(answer.header.as_ref())?;
    Ok((revision, deleted(answer)?))
}

/// The transaction ran.
pub fn txn(answer: TxnResponse) -> Result<(Revision, Reply), BadAnswer> {
    let revision = revision(answer.header.as_ref())?;
    Ok((revision, ran(answer)?))
}

/// A pair as a record; its place within its revision is not told.
pub fn record(pair: KeyValue) -> Record {
    Record {
        key: pair.key,
        value: pair.value,
        meta: Meta {
            create_revision: Revision(pair.create_revision),
            mod_revision: Revision(pair.mod_revision),
            sub: 0,
            version: pair.version,
            lease: pair.lease,
        },
    }
}

fn found(answer: RangeResponse) -> Result<RangeResult, BadAnswer> {
    Ok(RangeResult {
        records: answer.kvs.into_iter().map(record).collect(),
        more: answer.more,
        count: count(answer.count)?,
    })
}

fn written(answer: PutResponse) -> Reply {
    Reply::Put {
        previous: answer.prev_kv.map(record),
    }
}

fn deleted(answer: DeleteRangeResponse) -> Result<Reply, BadAnswer> {
    Ok(Reply::Delete {
        deleted: count(answer.deleted)?,
        previous: answer.prev_kvs.into_iter().map(record).collect(),
    })
}

fn ran(answer: TxnResponse) -> Result<Reply, BadAnswer> {
    let replies = answer.responses.into_iter().map(|step| {
        Ok(match step.response.ok_or(BadAnswer::NoStep)? {
            Response::ResponseRange(answer) => Reply::Range(found(answer)?),
            Response::ResponsePut(answer) => written(answer),
            Response::ResponseDeleteRange(answer) => deleted(answer)?,
            Response::ResponseTxn(answer) => ran(answer)?,
        })
    });
    Ok(Reply::Txn {
        succeeded: answer.succeeded,
        replies: replies.collect::<Result<_, BadAnswer>>()?,
    })
}

fn count(told: i64) -> Result<u64, BadAnswer> {
    u64::try_from(told).map_err(|_below| BadAnswer::BelowZero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::answer;
    use crate::etcdserverpb::ResponseOp;

    fn header() -> ResponseHeader {
        ResponseHeader {
            revision: 9,
            ..ResponseHeader::default()
        }
    }

    fn a_record(value: &'static str) -> Record {
        Record {
            key: "k".into(),
            value: value.into(),
            meta: Meta {
                create_revision: Revision(3),
                mod_revision: Revision(7),
                sub: 0,
                version: 2,
                lease: 5,
            },
        }
    }

    #[test]
    fn what_was_answered_comes_back() {
        let read = RangeResult {
            records: vec![a_record("1"), a_record("2")],
            more: true,
            count: 4,
        };
        let put = Reply::Put {
            previous: Some(a_record("1")),
        };
        let delete = Reply::Delete {
            deleted: 3,
            previous: vec![a_record("2")],
        };
        let within = Reply::Txn {
            succeeded: false,
            replies: vec![Reply::Range(read.clone())],
        };
        let txn = Reply::Txn {
            succeeded: true,
            replies: vec![put.clone(), delete.clone(), within],
        };
        let at = Revision(9);
        let found = range(answer::range(header(), read.clone()));
        assert_eq!(found, Ok((at, Reply::Range(read))));
        let back = answer::put(header(), put.clone()).map(super::put);
        assert_eq!(back, Ok(Ok((at, put))));
        let back = answer::delete(header(), delete.clone()).map(super::delete);
        assert_eq!(back, Ok(Ok((at, delete))));
        let back = answer::txn(header(), txn.clone()).map(super::txn);
        assert_eq!(back, Ok(Ok((at, txn))));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(range(RangeResponse::default()), Err(BadAnswer::NoHeader));
        let header = Some(header());
        let answer = RangeResponse {
            header,
            count: -1,
            ..RangeResponse::default()
        };
        assert_eq!(range(answer), Err(BadAnswer::BelowZero));
        let answer = DeleteRangeResponse {
            header,
            deleted: -1,
            ..DeleteRangeResponse::default()
        };
        assert_eq!(delete(answer), Err(BadAnswer::BelowZero));
        let answer = TxnResponse {
            header,
            responses: vec![ResponseOp { response: None }],
            ..TxnResponse::default()
        };
        assert_eq!(txn(answer), Err(BadAnswer::NoStep));
        for bad in [BadAnswer::NoHeader, BadAnswer::NoStep, BadAnswer::BelowZero] {
            assert_eq!(bad.to_string(), bad.what());
        }
    }
}
