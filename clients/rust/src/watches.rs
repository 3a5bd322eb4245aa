//! Watches: of now, of the past, of a part, and of what is gone.

use etcd_client::{
    DeleteOptions, Error, EventType, WatchFilterType, WatchOptions, WatchResponse, WatchStream,
};

use crate::World;

/// The next message.
pub(crate) async fn next(stream: &mut WatchStream) -> Result<WatchResponse, Error> {
    let message = stream.message().await?;
    message.ok_or_else(|| Error::WatchError("the stream is over".to_owned()))
}

/// The next events, however they are packed: kind, key, value, former value.
async fn events(stream: &mut WatchStream, count: usize) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    while told.len() < count {
        for event in next(stream).await?.events() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let kind = match event.event_type() {
                EventType::Put => "put",
                EventType::Delete => "delete",
            };
            let kv = event.kv().map(|kv| (text(kv.key()), text(kv.value())));
            let (key, value) = kv.unwrap_or_default();
            let before = event.prev_kv().map_or(String::new(), |kv| text(kv.value()));
            told.push(format!("{kind} {key} {value} {before}"));
        }
    }
    Ok(told)
}

pub(crate) async fn live_and_past(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let with_former = WatchOptions::new().with_watch_id(1).with_prev_key();
    let mut stream = client.watch("rs/w", Some(with_former)).await?;
    let made = next(&mut stream).await?;
    checks.equal(
        "made, with its id",
        (made.created(), made.watch_id()),
        (true, 1),
    );
    let start = made.header().map_or(0, |header| header.revision()) + 1;
    other.put("rs/w", "1", None).await?;
    other.put("rs/w", "2", None).await?;
    other.delete("rs/w", None).await?;
    let wanted = ["put rs/w 1 ", "put rs/w 2 1", "delete rs/w  2"];
    checks.equal("what happens", events(&mut stream, 3).await?, wanted);

    let past = WatchOptions::new()
        .with_watch_id(2)
        .with_prefix()
        .with_fragment()
        .with_start_revision(start);
    stream.watch("rs/w", Some(past)).await?;
    let made = next(&mut stream).await?;
    checks.equal(
        "a second one on the stream",
        (made.created(), made.watch_id()),
        (true, 2),
    );
    let wanted = ["put rs/w 1 ", "put rs/w 2 ", "delete rs/w  "];
    checks.equal("what happened", events(&mut stream, 3).await?, wanted);

    stream.cancel(1).await?;
    let ended = next(&mut stream).await?;
    checks.equal(
        "ended when asked",
        (ended.canceled(), ended.watch_id()),
        (true, 1),
    );
    other.put("rs/w/more", "x", None).await?;
    let told = next(&mut stream).await?;
    checks.equal(
        "the other goes on",
        (told.watch_id(), told.events().len()),
        (2, 1),
    );
    let all = DeleteOptions::new().with_prefix();
    client.delete("rs/", Some(all)).await.map(drop)
}

pub(crate) async fn filters_and_progress(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let only_deletions = WatchOptions::new()
        .with_range("rs/g")
        .with_filters([WatchFilterType::NoPut]);
    let mut stream = client.watch("rs/f", Some(only_deletions)).await?;
    checks.holds("made", next(&mut stream).await?.created());
    other.put("rs/f", "1", None).await?;
    let deleted = other.delete("rs/f", None).await?;
    checks.equal("filtered", events(&mut stream, 1).await?, ["delete rs/f  "]);
    stream.request_progress().await?;
    let told = next(&mut stream).await?;
    checks.holds(
        "progress has no events",
        told.events().is_empty() && !told.canceled(),
    );
    let revision = deleted.header().map_or(0, |header| header.revision());
    let at = told.header().map_or(0, |header| header.revision());
    checks.holds("progress is not behind what was told", at >= revision);
    Ok(())
}

pub(crate) async fn what_is_gone(world: &mut World) -> Result<(), Error> {
    let World {
        client,
        other,
        checks,
        ..
    } = world;
    let put = client.put("rs/old", "1", None).await?;
    let first = put.header().map_or(0, |header| header.revision());
    client.put("rs/old", "2", None).await?;
    client.compact(first + 1, None).await?;
    // A node that is behind would still tell that history: this read waits for it.
    other.get("rs/old", None).await?;
    let past = WatchOptions::new().with_start_revision(first);
    let mut stream = other.watch("rs/old", Some(past)).await?;
    let mut told = next(&mut stream).await?;
    if told.created() && !told.canceled() {
        told = next(&mut stream).await?;
    }
    let ended = (told.canceled(), told.compact_revision());
    checks.equal("history that is gone", ended, (true, first + 1));
    client.delete("rs/old", None).await.map(drop)
}
