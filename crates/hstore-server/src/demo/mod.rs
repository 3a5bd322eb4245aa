//! `demo`: a cluster of real nodes on this machine, at work and in trouble, for people who would
//! rather see it.
//!
//! The nodes are processes of this program, tied to the demo by a socket; through it go the switches
//! of faults that no other node has (docs/adr/0031). Between them is a network that can be broken.
//! A light load writes all the time, and every acknowledged write is read back. What a person can
//! break by hand, stories break by a script, and say what is to be seen.
//!
//! Invariants: (1) when the demo ends, however it ends, no process and no folder of it is left;
//! (2) nodes of a demo and other nodes of this machine do not hear of each other; (3) what is said of
//! writes was looked at.

mod act;
mod ask;
mod brake;
mod check;
mod front;
mod ledger;
mod load;
mod network;
pub(crate) mod node;
mod seat;
mod stage;
mod story;
mod tether;
mod view;
pub(crate) mod warden;

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hstore_client::Client;
use hstore_core::error::ErrorCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use brake::{Brake, BrakedDisk};

use self::front::Front;
use self::load::Book;
use self::stage::Stage;
use crate::fault::{Exit, Fault};
use crate::grammar::{Demo, Output};
use crate::screen;

/// Shows a cluster until somebody ends it, or checks the stories.
pub(crate) async fn run(demo: &Demo, output: Output) -> Result<Exit, Fault> {
    let mut signals = Signals::listen()?;
    let json = demo.json || output.is_json();
    let stories = check::choose(&demo.stories)?;
    let (listener, page) = front::bind(demo.port).await?;
    let stage = Arc::new(Stage::build(demo.nodes)?);
    let shown = async {
        let (mut company, ready_in) = tokio::select! {
            biased;
            () = signals.next() => return Ok(Exit::Interrupted),
            engaged = Company::engage(&stage) => engaged?,
        };
        if demo.check {
            let checked = check::run(&mut company, &stories, ready_in, json);
            return tokio::select! {
                biased;
                () = signals.next() => Ok(Exit::Interrupted),
                checked = checked => checked,
            };
        }
        announce(&stage, ready_in, page);
        if demo.opens() {
            open_browser(page);
        }
        let front = Front::new(
            Arc::clone(&stage),
            Arc::clone(&company.book),
            company.client.clone(),
        );
        tokio::select! {
            biased;
            () = signals.next() => {}
            () = Arc::new(front).serve(listener) => {}
        }
        tokio::select! {
            biased;
            // Whoever asks twice does not want to wait.
            () = signals.next() => Ok(Exit::Interrupted),
            closed = company.close() => closed,
        }
    };
    let shown = shown.await;
    let struck = stage.strike().await;
    let exit = shown?;
    struck?;
    Ok(exit)
}

/// Says where the cluster is.
fn announce(stage: &Stage, ready_in: Duration, page: SocketAddr) {
    let hosts = stage.hosts();
    let first = hosts.first().map_or("", String::as_str);
    screen::data(format_args!(
        "hstore demo  {} nodes follow one leader, after {}\n\
         \x20 page       http://{page}\n\
         \x20 clients    {}\n\
         \x20 try        hstore-cli -h {first} get demo/00\n\
         \x20 end        Ctrl-C; nothing of it stays",
        hosts.len(),
        screen::duration(ready_in),
        hosts.join(" "),
    ));
}

/// Opens the page in whatever opens pages here. Where nothing does, the address was printed.
fn open_browser(page: SocketAddr) {
    let opened = tokio::process::Command::new("xdg-open")
        .arg(format!("http://{page}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    if let Err(error) = opened {
        screen::talk(format_args!("the page was not opened: xdg-open: {error}"));
    }
}

/// The cluster with everybody who is at work on it.
struct Company {
    stage: Arc<Stage>,
    book: Arc<Book>,
    client: Client,
    writers: JoinSet<()>,
    /// The rest: those who look at nodes and read what was written.
    _others: JoinSet<()>,
}

impl Company {
    /// Starts the nodes, and then all others; how long the nodes took.
    async fn engage(stage: &Arc<Stage>) -> Result<(Company, Duration), Fault> {
        let began = Instant::now();
        stage.fill(|text| screen::talk(text)).await?;
        let ready_in = began.elapsed();
        let client = || {
            let client = Client::connect(&stage.hosts());
            client.map_err(|error| Fault::new(error.code(), error.to_string()))
        };
        let book = Arc::new(Book::new());
        let mut writers = JoinSet::new();
        for writer in 0..load::WRITERS {
            writers.spawn(load::write(writer, client()?, Arc::clone(&book)));
        }
        let mut others = JoinSet::new();
        let reader = client()?;
        others.spawn(load::read_back(reader.clone(), Arc::clone(&book)));
        let looks_at = Arc::clone(stage);
        others.spawn(async move { looks_at.watch().await });
        let company = Company {
            stage: Arc::clone(stage),
            book,
            client: reader,
            writers,
            _others: others,
        };
        Ok((company, ready_in))
    }

    /// Says what became of the writes, after a last look at each of them.
    async fn close(&mut self) -> Result<Exit, Fault> {
        // Without a majority there is nothing to look at.
        self.stage.heal().await?;
        self.close_the_book().await?;
        let writes = self.book.told();
        screen::data(writes.sentence());
        Ok(if writes.is_clean() {
            Exit::Ok
        } else {
            Exit::Failure
        })
    }

    /// Ends the load, and looks at every write once more.
    async fn close_the_book(&mut self) -> Result<(), Fault> {
        self.writers.shutdown().await;
        let deadline = Instant::now() + LAST_LOOK * patience(self.stage.nodes());
        let audited = load::audit(&self.client, &self.book, deadline).await;
        audited.map_err(|error| {
            let what = format!("what was acknowledged could not be looked up: {error}");
            Fault::new(ErrorCode::Timeout, what)
        })
    }
}

/// How long the last look at every write of a small demo may take.
const LAST_LOOK: Duration = Duration::from_mins(1);

/// By how much longer things may take in a demo of so many nodes. All of them share the processors
/// of one machine, so the more there are, the more patient everybody is.
fn patience(nodes: u8) -> u32 {
    u32::from(nodes).div_ceil(5)
}

/// What ends a demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Fault> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let what = format!("signals cannot be heard: {error}");
                Fault::new(ErrorCode::Internal, what)
            })
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _signal = self.interrupt.recv() => {}
            _signal = self.terminate.recv() => {}
            _signal = self.hang_up.recv() => {}
        }
    }
}
