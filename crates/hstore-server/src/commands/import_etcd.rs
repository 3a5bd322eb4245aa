//! `import-etcd`: a running etcd comes over into the data folder of a new cluster.

use serde_json::json;

use crate::fault::{Exit, Fault};
use crate::grammar::{ImportEtcd, Output};
use crate::import::{self, Files, Until};
use crate::nursery::Wish;
use crate::screen;

/// Brings it over.
pub(super) async fn run(import: &ImportEtcd, output: Output) -> Result<Exit, Fault> {
    let until = match (import.once, import.until_idle) {
        (true, _) => Until::Once,
        (false, Some(time)) => Until::Idle(time),
        (false, None) => Until::Told,
    };
    let wish = Wish {
        data: import.data.clone(),
        name: import.name.clone(),
        cluster: import.cluster.clone(),
    };
    let files = Files {
        cacert: import.cacert.clone(),
        identity: import.cert.clone().zip(import.key.clone()),
    };
    let (nursery, imported) = import::run(&import.endpoints, &files, &wish, until).await?;
    let data = screen::path(&nursery.data);
    if output.is_json() {
        screen::data(json!({
            "result": "imported",
            "cluster": nursery.cluster_name,
            "node": nursery.name,
            "data": nursery.data.display().to_string(),
            "keys": imported.keys,
            "revision": imported.revision,
            "leases": imported.leases,
            "followed": imported.followed,
            "later": imported.later,
        }));
        return Ok(Exit::Ok);
    }
    if imported.later > 0 {
        screen::talk(format_args!(
            "note: etcd was written to while it was compared; {} later revisions were taken over, too",
            imported.later
        ));
    }
    screen::talk(format_args!("  data    {data}"));
    screen::talk(format_args!("  start   hstore-server start --data {data}"));
    screen::data(format_args!(
        "imported {} keys and {} leases, revision {}; etcd and hstore agree at revision {}",
        imported.keys,
        imported.leases,
        imported.revision + imported.later,
        imported.revision
    ));
    Ok(Exit::Ok)
}
