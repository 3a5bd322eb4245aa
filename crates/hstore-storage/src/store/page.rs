//! One page of a range: as of a revision, bounded in keys and in bytes, so that a range of any size
//! can be read with little memory.
//!
//! Invariants: (1) a page holds at least one record where there is one, and else no more than it was
//! asked for; (2) as with any read, compaction that overtakes it makes it compacted, never shorter.

use std::ops::ControlFlow;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Refusal;
use hstore_core::record::{Meta, Record};

use super::{Store, StoreFault, read};

/// How often a page is begun again because the state below it was replaced.
const RESTARTS_MAX: u32 = 3;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Who reads: they must be allowed to read all that is asked for.
    pub author: Author,
    /// Which keys, in their order.
    pub keys: KeyRange,
    /// As of which revision; 0 is the current one.
    pub revision: Revision,
    /// At most so many records.
    pub keys_max: usize,
    /// No further record once keys and values are so many bytes.
    pub bytes_max: usize,
    /// Leave the values out.
    pub keys_only: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The revision of the page.
    pub revision: Revision,
    /// The records.
    pub records: Vec<Record>,
    /// Their keys and values, in bytes.
    pub bytes: usize,
    /// Whether there are more after them.
    pub more: bool,
}

impl Store {
    /// Reads a page; may read the disk. Answers with the store's own revision, too.
    pub fn page(
        &self,
        request: &PageRequest,
    ) -> Result<(Revision, Result<Page, Refusal>), StoreFault> {
        self.check()?;
        let mut restarts = 0;
        loop {
            let (began, auth) = self.bounds_and_auth();
            let current = began.revision;
            if let Err(refusal) = auth.check_read(&request.author, &request.keys) {
                return Ok((current, Err(refusal.into())));
            }
            let at = match request.revision {
                newest if newest <= Revision(0) => current,
                at if at > current => {
                    return Ok((current, Err(Refusal::FutureRevision { current })));
                }
                at => at,
            };
            let found = (at >= began.compacted)
                .then(|| self.page_at(request, at))
                .transpose()?
                .flatten();
            let ended = self.bounds();
            let compacted = ended.compacted.max(began.compacted);
            match found {
                _ if at < compacted => return Ok((current, Err(Refusal::Compacted { compacted }))),
                Some(page) => return Ok((current, Ok(page))),
                None if ended.engine == began.engine || restarts == RESTARTS_MAX => {
                    return Err(read::lost(at));
                }
                None => restarts += 1,
            }
        }
    }

    /// The page, unless a record of it is gone.
    fn page_at(&self, request: &PageRequest, at: Revision) -> Result<Option<Page>, StoreFault> {
        let mut chosen: Vec<(Bytes, Meta)> = Vec::new();
        let mut more = false;
        self.scan_metas(&request.keys, at, &mut |key, meta| {
            more = chosen.len() >= request.keys_max.max(1);
            if more {
                return ControlFlow::Break(());
            }
            chosen.push((key.clone(), *meta));
            ControlFlow::Continue(())
        });
        let mut page = Page {
            revision: at,
            records: Vec::new(),
            bytes: 0,
            more,
        };
        for (key, meta) in chosen {
            if page.bytes >= request.bytes_max && !page.records.is_empty() {
                page.more = true;
                break;
            }
            let value = if request.keys_only {
                Bytes::new()
            } else {
                match self.value(meta.position())? {
                    Some(value) => value,
                    None => return Ok(None),
                }
            };
            page.bytes += key.len() + value.len();
            page.records.push(Record { key, value, meta });
        }
        Ok(Some(page))
    }
}
