//! Keys, transactions and what is refused.

use etcd_client::{
    CompactionOptions, Compare, CompareOp, DeleteOptions, Error, GetOptions, GetResponse,
    KvClientPrefix, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};

use crate::World;

/// Everything that this program writes is below it.
const PREFIX: &str = "rs/";

fn pairs(answer: &GetResponse) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = answer.kvs().iter();
    pairs.map(|kv| (text(kv.key()), text(kv.value()))).collect()
}

fn keys(answer: &GetResponse) -> Vec<String> {
    pairs(answer).into_iter().map(|(key, _)| key).collect()
}

async fn clear(world: &mut World) -> Result<(), Error> {
    let all = DeleteOptions::new().with_prefix();
    world.client.delete(PREFIX, Some(all)).await.map(drop)
}

pub(crate) async fn values(world: &mut World) -> Result<(), Error> {
    clear(world).await?;
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let put = client.put("rs/a", "1", None).await?;
    let first = put.header().map_or(0, |header| header.revision());
    checks.holds("a write has a revision", first > 1);
    let found = other.get("rs/a", None).await?;
    checks.equal("read at another node", keys(&found), ["rs/a"]);
    checks.equal("made at", found.kvs()[0].create_revision(), first);
    checks.equal("changed at", found.kvs()[0].mod_revision(), first);
    checks.equal("its version", found.kvs()[0].version(), 1);
    let before = PutOptions::new().with_prev_key();
    let put = client.put("rs/a", "2", Some(before)).await?;
    checks.equal(
        "what was there",
        put.prev_key().map(|kv| kv.value()),
        Some(&b"1"[..]),
    );
    let same_value = PutOptions::new().with_ignore_value();
    client.put("rs/a", "", Some(same_value)).await?;
    let found = other.get("rs/a", None).await?;
    checks.equal("its value stays", found.kvs()[0].value(), b"2");
    checks.equal("its version grows", found.kvs()[0].version(), 3);
    client.put("rs/b", [0_u8, 255], None).await?;
    client.put("rs/c", "0", None).await?;
    let past = GetOptions::new().with_revision(first);
    let found = other.get("rs/a", Some(past)).await?;
    checks.equal("the past", found.kvs()[0].value(), b"1");
    let range = GetOptions::new().with_range("rs/c");
    let found = other.get("rs/a", Some(range)).await?;
    checks.equal("a range", keys(&found), ["rs/a", "rs/b"]);
    let limited = GetOptions::new().with_prefix().with_limit(2);
    let found = other.get(PREFIX, Some(limited)).await?;
    checks.equal(
        "limited",
        (keys(&found).len(), found.more(), found.count()),
        (2, true, 3),
    );
    let sorted = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Value, SortOrder::Descend);
    let found = other.get(PREFIX, Some(sorted)).await?;
    checks.equal(
        "by value, downwards",
        keys(&found),
        ["rs/a", "rs/c", "rs/b"],
    );
    let names = GetOptions::new().with_prefix().with_keys_only();
    let found = other.get(PREFIX, Some(names)).await?;
    checks.holds(
        "keys only",
        found.kvs().iter().all(|kv| kv.value().is_empty()),
    );
    let count = GetOptions::new().with_prefix().with_count_only();
    let found = other.get(PREFIX, Some(count)).await?;
    checks.equal("counted", (found.count(), found.kvs().len()), (3, 0));
    let new = GetOptions::new()
        .with_prefix()
        .with_min_create_revision(first + 1);
    let found = other.get(PREFIX, Some(new)).await?;
    checks.equal("made later", keys(&found), ["rs/b", "rs/c"]);
    let here = GetOptions::new().with_serializable();
    let found = client.get("rs/c", Some(here)).await?;
    checks.holds("serializable", found.kvs().len() <= 1);
    let from = GetOptions::new().with_from_key();
    let found = other.get("rs/c", Some(from)).await?;
    checks.equal(
        "from a key on",
        keys(&found).first().cloned(),
        Some("rs/c".to_owned()),
    );
    let everything = GetOptions::new().with_all_keys().with_count_only();
    let found = other.get("", Some(everything)).await?;
    checks.holds("all keys", found.count() >= 3);
    let told = DeleteOptions::new().with_prev_key();
    let deleted = client.delete("rs/b", Some(told)).await?;
    checks.equal("what was deleted", deleted.prev_kvs()[0].value(), [0, 255]);
    let deleted = client.delete("rs/b", None).await?;
    checks.equal("deleted twice", deleted.deleted(), 0);
    let compacted = client
        .compact(first, Some(CompactionOptions::new().with_physical()))
        .await?;
    checks.holds("compacted", compacted.header().is_some());
    clear(world).await
}

pub(crate) async fn transactions(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    client.put("rs/t", "15", None).await?;
    let kept = PutOptions::new().with_ignore_lease();
    let txn = Txn::new()
        .when([
            Compare::value("rs/t", CompareOp::Equal, "15"),
            Compare::version("rs/t", CompareOp::Greater, 0),
            Compare::create_revision("rs/none", CompareOp::Equal, 0),
            Compare::mod_revision("rs/t", CompareOp::NotEqual, 0),
            Compare::lease("rs/t", CompareOp::Equal, 0),
        ])
        .and_then([
            TxnOp::put("rs/t", "18", Some(kept)),
            TxnOp::get("rs/t", None),
        ])
        .or_else([TxnOp::delete("rs/t", None)]);
    let told = client.txn(txn.clone()).await?;
    checks.holds("it holds", told.succeeded());
    let read = match told.op_responses().get(1) {
        Some(TxnOpResponse::Get(found)) => pairs(found),
        _other => Vec::new(),
    };
    checks.equal(
        "a step sees the one before",
        read,
        [("rs/t".to_owned(), "18".to_owned())],
    );
    let told = client.txn(txn).await?;
    checks.holds("it holds no more", !told.succeeded());
    let deleted = match told.op_responses().first() {
        Some(TxnOpResponse::Delete(deleted)) => deleted.deleted(),
        _other => 0,
    };
    checks.equal("the other branch", deleted, 1);
    let inner = Txn::new().and_then([TxnOp::put("rs/t", "inner", None)]);
    let told = client.txn(Txn::new().and_then([TxnOp::txn(inner)])).await?;
    let is_inner = matches!(told.op_responses()[..], [TxnOpResponse::Txn(_)]);
    checks.holds("nested", is_inner);
    checks.equal(
        "written inside",
        client.get("rs/t", None).await?.kvs()[0].value(),
        b"inner",
    );
    let every = Compare::value(PREFIX, CompareOp::Equal, "inner").with_prefix();
    checks.holds(
        "over a range",
        client.txn(Txn::new().when([every])).await?.succeeded(),
    );
    let twice = [TxnOp::put("rs/t", "1", None), TxnOp::put("rs/t", "2", None)];
    let told = client.txn(Txn::new().and_then(twice)).await;
    checks.fails(
        "a key twice",
        "etcdserver: duplicate key given in txn request",
        told,
    );
    clear(world).await
}

pub(crate) async fn failures(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    let told = client.put("", "x", None).await;
    checks.fails("an empty key", "etcdserver: key is not provided", told);
    let leased = PutOptions::new().with_lease(4_711);
    let told = client.put("rs/f", "x", Some(leased)).await;
    checks.fails(
        "a lease that is not there",
        "etcdserver: requested lease not found",
        told,
    );
    let told = client.put("rs/f", vec![b'x'; 1_600_000], None).await;
    checks.fails("too large", "etcdserver: request is too large", told);
    let kept = PutOptions::new().with_ignore_value();
    let told = client.put("rs/f", "", Some(kept)).await;
    checks.fails("no value to keep", "etcdserver: key not found", told);
    let put = client.put("rs/f", "1", None).await?;
    let revision = put.header().map_or(0, |header| header.revision());
    let later = GetOptions::new().with_revision(revision + 1_000_000);
    let told = client.get("rs/f", Some(later)).await;
    let words = "etcdserver: mvcc: required revision is a future revision";
    checks.fails("not there yet", words, told);
    client.put("rs/f", "2", None).await?;
    client.compact(revision + 1, None).await?;
    let words = "etcdserver: mvcc: required revision has been compacted";
    checks.fails(
        "compacted already",
        words,
        client.compact(revision, None).await,
    );
    let gone = GetOptions::new().with_revision(revision);
    checks.fails(
        "not there any more",
        words,
        client.get("rs/f", Some(gone)).await,
    );
    clear(world).await
}

pub(crate) async fn behind_a_prefix(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    let mut inside = KvClientPrefix::new(client.kv_client(), "rs/person/".into());
    inside.put("Alice", "15", None).await?;
    let found = client.get("rs/person/Alice", None).await?;
    checks.equal("written behind a prefix", found.kvs()[0].value(), b"15");
    let found = inside.get("Alice", None).await?;
    checks.equal("read behind it", keys(&found), ["Alice"]);
    let told = DeleteOptions::new().with_prev_key();
    let deleted = inside.delete("Alice", Some(told)).await?;
    checks.equal("deleted behind it", deleted.prev_kvs()[0].key(), b"Alice");
    clear(world).await
}
