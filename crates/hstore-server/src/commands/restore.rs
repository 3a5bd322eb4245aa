//! `restore`: the data folder of a new cluster out of a saved file.
//!
//! The cluster is new, so that no node of the former one is ever taken for one of its own. Every
//! byte of the file is checked before the first one of the folder is written.

use std::path::Path;

use hstore_core::error::ErrorCode;
use hstore_core::id::{LogIndex, Revision};
use hstore_storage::backup::Backup;
use hstore_storage::os::OsDisk;
use hstore_storage::snapshot::SnapshotError;
use hstore_storage::store::{self, StoreError, StoreFault, Summary};
use serde_json::json;

use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Restore};
use crate::nursery::{Nursery, Wish};
use crate::screen;

/// Restores a file.
pub(super) fn run(restore: &Restore, output: Output) -> Result<Exit, Fault> {
    let refuse = |error: StoreError| refused(&restore.file, &error);
    let backup =
        Backup::open(&OsDisk::new(), &restore.file).map_err(|error| refuse(error.into()))?;
    let read = || backup.read().map_err(|error| refuse(error.into()));
    let summary = store::inspect(read()?).map_err(refuse)?;
    let from = summary.header.revision;
    if i64::try_from(restore.bump_revision).is_ok_and(|bump| from.0.checked_add(bump).is_none()) {
        return Err(Fault::new(
            ErrorCode::InvalidArgument,
            format!(
                "revision {from} cannot be raised by {}",
                restore.bump_revision
            ),
        ));
    }
    let nursery = Nursery::take(
        &Wish {
            data: restore.data.clone(),
            name: restore.name.clone(),
            cluster: restore.cluster.clone(),
        },
        "hstore-server restore",
        &restore.file.display().to_string(),
    )?;
    let founding = nursery.founding(LogIndex(summary.header.last.index.0.max(1)));
    let (_path, header) = store::refound(
        read()?,
        nursery.disk(),
        &nursery.snapshots(),
        &founding,
        restore.bump_revision,
        restore.mark_compacted,
    )
    .map_err(|error| refused(&nursery.data, &error))?;
    nursery.settle(&founding)?;
    nursery.finish()?;
    told(output, &nursery, &summary, header.revision);
    Ok(Exit::Ok)
}

/// Why a file, or the disk below a folder, was refused.
pub(super) fn refused(path: &Path, error: &StoreError) -> Fault {
    match error {
        StoreError::Fault(StoreFault::Snapshot(SnapshotError::Io { path, source, .. })) => {
            let fault = Fault::of_file(path.display(), source);
            match fault.code {
                ErrorCode::DataUnusable => {
                    let exit = fault.exit;
                    Fault::new(ErrorCode::FileUnusable, fault.sentence()).exit(exit)
                }
                _other => fault,
            }
        }
        StoreError::Fault(StoreFault::Snapshot(SnapshotError::Foreign { .. })) => {
            Fault::new(error.code(), error.to_string()).hint(
                "hstore-cli snapshot save FILE   makes one; \
                 hstore-server import-etcd brings a running etcd over",
            )
        }
        StoreError::Fault(StoreFault::Snapshot(_)) => Fault::new(error.code(), error.to_string()),
        _other => Fault::new(error.code(), format!("{}: {error}", path.display())),
    }
}

fn told(output: Output, nursery: &Nursery, summary: &Summary, revision: Revision) {
    if output.is_json() {
        screen::data(json!({
            "result": "restored",
            "cluster": nursery.cluster_name,
            "node": nursery.name,
            "data": nursery.data.display().to_string(),
            "revision": revision.0,
            "keys": summary.keys,
            "leases": summary.leases,
            "former_cluster_id": summary.header.cluster_id.to_string(),
        }));
        return;
    }
    let data = screen::path(&nursery.data);
    screen::data(format_args!(
        "restored {} keys at revision {revision} as node {} of the new cluster {}",
        summary.keys, nursery.name, nursery.cluster_name
    ));
    screen::talk(format_args!("  data    {data}"));
    screen::talk(format_args!("  start   hstore-server start --data {data}"));
}
