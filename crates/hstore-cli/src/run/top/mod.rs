//! `top`: the cluster as it is now, again and again, until the person leaves.

mod keys;
mod picture;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use futures::StreamExt as _;
use hstore_client::Client;
use hstore_client::v1::ClusterDescription;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use self::keys::{Key, Keys};
use crate::args::{Format, Top};
use crate::failure::Failure;
use crate::render::{self, Data};
use crate::run::Context;

#[cfg(test)]
pub(crate) use picture::Wish;
pub(crate) use picture::{Picture, name_of};

/// A node that tells nothing for so long is left; it would tell once a second.
const SILENCE: Duration = Duration::from_secs(3);

/// The pause before it is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// How often the ages on the screen are made anew.
const TICK: Duration = Duration::from_millis(500);

/// How long one call may take: a screen that stands still is no use.
const CALL: Duration = Duration::from_secs(3);

/// What was heard of the cluster.
enum Heard {
    Cluster(Box<ClusterDescription>),
    Nothing(String),
}

/// News that wait to be drawn; the sender waits when so many do.
const NEWS_MAX: usize = 4;

pub(super) async fn run(context: &Context, args: Top) -> Result<Data, Failure> {
    let is_for_programs = context.view.format == Format::Json;
    let one = args.once || is_for_programs;
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !one && !is_terminal {
        return Err(Failure::Usage(
            "top needs a terminal; --once writes one picture, --json the same for programs"
                .to_owned(),
        ));
    }
    // What cannot be shown is said on an ordinary screen.
    let first = context.client.describe_with_vitals().await?;
    let mut picture = Picture::new();
    picture.hear(Duration::ZERO, first);
    if one {
        return Ok(Data::Picture(Box::new(picture)));
    }
    show(context, picture).await?;
    Ok(Data::Nothing)
}

/// The terminal is given back when it goes.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn show(context: &Context, mut picture: Picture) -> Result<(), Failure> {
    let began = Instant::now();
    let mut ended = signal(SignalKind::terminate())?;
    let (news, mut heard) = mpsc::channel(NEWS_MAX);
    let client = context
        .client
        .clone()
        .with_timeout(context.timeout.unwrap_or(CALL));
    let listener = tokio::spawn(listen(client, news));
    let mut screen = Screen(ratatui::try_init()?);
    let mut keys = Keys::listen()?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = began.elapsed();
        screen.0.draw(|frame| {
            let area = frame.area();
            render::top::draw(
                &picture,
                now,
                context.view.color,
                true,
                area,
                frame.buffer_mut(),
            );
        })?;
        tokio::select! {
            // Who wants to leave goes first.
            biased;
            key = keys.next() => match key {
                Some(Key::Quit) | None => break,
                Some(Key::Wish(wish)) => picture.wish(wish),
                Some(Key::Redraw) => {}
            },
            _ = ended.recv() => break,
            Some(news) = heard.recv() => match news {
                Heard::Cluster(cluster) => picture.hear(began.elapsed(), *cluster),
                Heard::Nothing(why) => picture.lose(began.elapsed(), why),
            },
            _ = tick.tick() => {}
        }
    }
    listener.abort();
    keys.end();
    Ok(())
}

/// Hears of the cluster from one node as long as that tells, then from another.
async fn listen(client: Client, news: mpsc::Sender<Heard>) {
    let mut place = 0;
    loop {
        let why = match client.vitals_changes().await {
            Ok(mut changes) => loop {
                match timeout(SILENCE, changes.next()).await {
                    Ok(Some(Ok(cluster))) => {
                        let heard = Heard::Cluster(Box::new(cluster));
                        if news.send(heard).await.is_err() {
                            return;
                        }
                    }
                    Ok(Some(Err(error))) => break error.to_string(),
                    Ok(None) => break "the node has ended".to_owned(),
                    Err(_) => break format!("nothing was told for {} s", SILENCE.as_secs()),
                }
            },
            Err(error) => error.to_string(),
        };
        if news.send(Heard::Nothing(why)).await.is_err() {
            return;
        }
        place += 1;
        client.start_at(place);
        sleep(AGAIN).await;
    }
}
