//! Real processes under real faults, and a judge of what their clients saw.
//!
//! A cluster starts, clients ask it all kinds of things, and a nemesis strikes it by a plan that is
//! drawn from a seed. At the end everything is healed, every node must serve, the log is read back
//! from each, and the whole history goes through the judges.
//!
//! Invariants: (1) processes, mounts and folders are gone when the task ends, also by Ctrl-C, a
//! panic or a failure; (2) what the machine cannot do is said and counted, never taken as done; (3)
//! the task fails unless everything that was asked for was done and nothing was found wrong.

mod aftermath;
mod ask;
mod book;
mod chronicle;
mod fault;
mod guest;
mod listen;
mod load;
mod locker;
mod nemesis;
mod people;
mod plan;
mod rounds;
mod strike;
mod summary;
mod tenant;
mod warden;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hstore_check::history::{ClientId, History};
use hstore_check::judge::judge;
use hstore_check::rights;
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::book::Book;
use self::chronicle::Chronicle;
use self::fault::{Abilities, Fault, Need};
use self::nemesis::{Tally, World};
use self::people::Gate;
use self::plan::Rounds;
use self::summary::Summary;
use crate::fleet::{Design, Fleet};
use crate::{interrupt, shell};

/// How long the load runs before the first measurement and the first strike.
const WARM_UP: Duration = Duration::from_secs(2);
/// The number of the first reader; clients have lower ones.
const READERS: u64 = 1_000_000;
/// How many clients live on leases, and the number of the first.
const TENANTS: u64 = 3;
const FIRST_TENANT: u64 = 2_000_000;
/// How many clients watch, and the number of the first.
const LISTENERS: u64 = 4;
const FIRST_LISTENER: u64 = 3_000_000;
/// The client that writes last.
const LAST: u64 = 4_000_000;
/// The numbers of the first user whose rights change, and of the first client that locks.
const FIRST_GUEST: u64 = 5_000_000;
const FIRST_LOCKER: u64 = 6_000_000;
/// The library that shifts a process's clock.
const CLOCK: &str = include_str!("clock.c");

/// What `chaos` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// `list` names the faults and says what this machine can do.
    #[arg(value_parser = ["list"])]
    what: Option<String>,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=9))]
    nodes: u32,
    /// How long faults are struck, such as 90s or 5m.
    #[arg(long, default_value = "1m", value_parser = duration, conflicts_with = "rounds")]
    duration: Duration,
    /// The seed of the plan and of the load [default: another one each time].
    #[arg(long)]
    seed: Option<u64>,
    /// Only these faults: names or first words, with commas between.
    #[arg(long, value_name = "FAULTS", conflicts_with = "rounds")]
    faults: Option<String>,
    /// One strike after the other until so many victims were struck, such as kill=200,power=60.
    #[arg(long, value_name = "FAULT=COUNT,...")]
    rounds: Option<String>,
    /// How many clients.
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// Nobody is asked who they are, so no rights change.
    #[arg(long)]
    open: bool,
    /// Keep the history and the logs of the nodes in this folder, also when nothing is wrong.
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// This binary is built for release already, and so are the others beside it.
    #[arg(long, hide = true)]
    built: bool,
    /// The server's binary, when it is not beside this one.
    #[arg(long, hide = true, requires = "built")]
    server: Option<PathBuf>,
}

/// Starts, strikes, heals, judges.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.what.is_some() {
        list(&Abilities::probe());
        return Ok(());
    }
    let rounds = options
        .rounds
        .as_deref()
        .map(plan::parse_rounds)
        .transpose()?;
    let wanted = options
        .faults
        .as_deref()
        .map(Fault::parse_list)
        .transpose()?;
    if !options.built {
        return shell::build_for_release_and_run_again();
    }
    let runtime = shell::two_workers()?;
    let summary = runtime.block_on(interrupt::or(storm(options, rounds, wanted)))?;
    println!("\n{summary}");
    if summary.is_good() {
        Ok(())
    } else {
        bail!(
            "something is wrong, see above; the same strikes again: --seed {}",
            summary.seed
        )
    }
}

fn list(abilities: &Abilities) {
    for fault in Fault::ALL {
        println!("{:<16} {}", fault.name(), fault.what());
        if let Some(why) = abilities.lacks(*fault) {
            println!("{:<16} not run here: {why}", "");
        }
    }
}

/// Everything but the verdict.
async fn storm(
    options: &Options,
    rounds: Option<Vec<Rounds>>,
    wanted: Option<Vec<Fault>>,
) -> Result<Summary> {
    let abilities = Abilities::probe();
    let asked = match (&rounds, &wanted) {
        (Some(rounds), _) => rounds.iter().flat_map(|r| r.faults.clone()).collect(),
        (None, Some(wanted)) => wanted.clone(),
        (None, None) => Fault::ALL.to_vec(),
    };
    let by_name = rounds.is_some() || wanted.is_some();
    let lacking = |fault: &Fault| abilities.lacks(*fault).map(ToOwned::to_owned);
    let mut summary = Summary {
        seed: match options.seed {
            Some(seed) => seed,
            // Short, since people type it.
            None => u64::from(SysRng.try_next_u32()?),
        },
        nodes: options.nodes,
        clients: options.clients,
        not_run: asked
            .iter()
            .filter_map(|fault| Some((*fault, lacking(fault)?, by_name)))
            .collect(),
        ..Summary::default()
    };
    let faults: Vec<Fault> = asked.into_iter().filter(|f| lacking(f).is_none()).collect();
    println!("chaos: seed {}, {} nodes", summary.seed, options.nodes);

    // Outlives the processes that have it loaded.
    let library = tempfile::Builder::new().prefix("hstore-clock-").tempdir()?;
    let needs = |need: Need| abilities.meets(need) && faults.iter().any(|f| f.need() == need);
    let design = Design {
        server: match &options.server {
            Some(server) => server.clone(),
            None => shell::beside("hstore-server")?,
        },
        nodes: options.nodes,
        proxied: true,
        images: needs(Need::Images),
        preload: if needs(Need::Compiler) {
            Some(compile(library.path())?)
        } else {
            None
        },
        manager: (!options.open).then(|| {
            let (name, password) = people::ROOT;
            (name.to_owned(), password.to_owned())
        }),
    };
    let world = Arc::new(World {
        fleet: Fleet::start(&design).await?,
        book: Arc::new(Book::new()),
        tally: Mutex::new(Tally::default()),
    });
    weather(options, &world, rounds, &faults, &mut summary).await;
    Ok(summary)
}

/// The load and the strikes, and what is found afterwards.
async fn weather(
    options: &Options,
    world: &Arc<World>,
    rounds: Option<Vec<Rounds>>,
    faults: &[Fault],
    summary: &mut Summary,
) {
    let (stop, stopped) = watch::channel(false);
    let hosts = world.fleet.doors.iter().map(ToString::to_string).collect();
    let gate = Gate::new(hosts, !options.open);
    if gate.is_guarded() {
        let founded = gate.found(&world.fleet, &world.book).await;
        if summary.take(founded).is_none() {
            return;
        }
    }
    let mut clients = clients(options, world, summary.seed, &gate, &stopped);
    let (last_writes, made) = watch::channel(None);
    let mut listeners = JoinSet::new();
    for nth in 0..LISTENERS {
        let (gate, book) = (gate.clone(), Arc::clone(&world.book));
        let number = FIRST_LISTENER + nth;
        listeners.spawn(listen::run(number, summary.seed, gate, book, made.clone()));
    }
    let chronicle =
        Chronicle::default().keep(gate.clone(), Arc::clone(&world.book), stopped.clone());
    let chronicle = tokio::spawn(chronicle);
    tokio::time::sleep(WARM_UP).await;
    let first = summary.take(aftermath::measure(world).await);

    let begin = Instant::now();
    let struck = if let Some(rounds) = rounds {
        rounds::run(world, summary.seed, &rounds, faults).await
    } else {
        let plan = plan::by_the_clock(summary.seed, faults, options.duration);
        nemesis::follow(world, plan, options.duration).await
    };
    summary.lasted = begin.elapsed();
    summary.take(struck);

    // Whatever goes wrong from here on, the history is closed, judged and kept.
    let healed = summary.take(aftermath::heal(world).await).is_some();
    let last = if healed {
        summary.take(aftermath::measure(world).await)
    } else {
        None
    };
    summary.uses = first
        .unwrap_or_default()
        .into_iter()
        .zip(last.unwrap_or_default())
        .collect();
    stop.send_replace(true);
    while let Some(ended) = clients.join_next().await {
        summary.take(ended.map_err(Into::into).flatten());
    }
    let chronicle = summary.take(chronicle.await.map_err(Into::into).flatten());
    if healed {
        hear_out(world, &gate, &last_writes, &mut listeners, summary).await;
    }
    listeners.shutdown().await;
    let mut log = Vec::new();
    if let Some(mut chronicle) = chronicle
        && healed
        // A log that was not read to its end would be taken for one that lost writes.
        && summary.take(settle(options, world, &mut chronicle).await).is_some()
    {
        let (entries, violations) = chronicle.close();
        summary.wrong.extend(violations);
        log = entries;
    }
    summary.acknowledged = world.book.acknowledged();
    let history = world.book.close(log);
    summary.fenced = world.book.fenced_counts();
    tokio::task::block_in_place(|| {
        summary.report = judge(&history);
        summary.rights = rights::judge(&world.book.rights());
    });
    summary.tally = world.tally().clone();
    let kept = keep(options, world, &history, summary).await;
    summary.take(kept);
}

/// Everybody who asks, until they are told to stop.
fn clients(
    options: &Options,
    world: &World,
    seed: u64,
    gate: &Gate,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<Result<()>> {
    let mut clients = JoinSet::new();
    let shared = || (gate.clone(), Arc::clone(&world.book));
    for number in 1..=options.clients {
        let (gate, book) = shared();
        clients.spawn(load::run(number, seed, gate, book, stopped.clone()));
    }
    for (place, asker) in world.fleet.askers.iter().enumerate() {
        let (asker, book) = (asker.clone(), Arc::clone(&world.book));
        let number = READERS + place as u64;
        clients.spawn(load::read(number, seed, asker, book, stopped.clone()));
    }
    for nth in 0..TENANTS {
        let (gate, book) = shared();
        let number = FIRST_TENANT + nth;
        clients.spawn(tenant::run(number, seed, gate, book, stopped.clone()));
    }
    for nth in 0..load::LOCKERS {
        let (gate, book) = shared();
        let who = (nth, FIRST_LOCKER + nth);
        clients.spawn(locker::run(who, seed, gate, book, stopped.clone()));
    }
    if gate.is_guarded() {
        let (of_warden, book) = shared();
        clients.spawn(warden::run(seed, of_warden, book, stopped.clone()));
        for nth in 0..people::GUESTS.len() {
            let (gate, book) = shared();
            let (who, askers) = ((nth, FIRST_GUEST + nth as u64), world.fleet.askers.clone());
            clients.spawn(guest::run(who, seed, askers, gate, book, stopped.clone()));
        }
    }
    clients
}

/// All leases end, and all who watch are told the last write of everything.
async fn hear_out(
    world: &World,
    gate: &Gate,
    last_writes: &watch::Sender<listen::Last>,
    listeners: &mut JoinSet<Result<()>>,
    summary: &mut Summary,
) {
    summary.take(tenant::all_end(gate).await);
    let made = aftermath::write_last(world, ClientId(LAST), gate).await;
    let Some(made) = summary.take(made) else {
        return;
    };
    last_writes.send_replace(Some(Arc::new(made)));
    while let Some(ended) = listeners.join_next().await {
        summary.take(ended.map_err(Into::into).flatten());
    }
}

/// Every node serves, all agree, and all show the same log.
async fn settle(options: &Options, world: &World, chronicle: &mut Chronicle) -> Result<()> {
    aftermath::serve(world, options.clients).await?;
    aftermath::converge(world).await?;
    for (place, asker) in world.fleet.askers.iter().enumerate() {
        chronicle
            .read_back(asker, &format!("n{}", place + 1))
            .await?;
    }
    Ok(())
}

/// Keeps the history where it was asked for, or where it is needed.
async fn keep(
    options: &Options,
    world: &World,
    history: &History,
    summary: &Summary,
) -> Result<()> {
    let folder = match &options.history {
        Some(folder) => folder.clone(),
        None if summary.is_good() => return Ok(()),
        None => shell::target()?
            .join("chaos")
            .join(summary.seed.to_string()),
    };
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("chaos-{}.jsonl", summary.seed));
    write(history, &path).with_context(|| format!("{} cannot be written", path.display()))?;
    println!(
        "the history is kept; to judge it again: hstore-check {}",
        path.display()
    );
    world.fleet.keep_logs(&folder).await
}

fn write(history: &History, path: &Path) -> Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    history.write(&mut file)?;
    file.flush()?;
    Ok(())
}

fn compile(within: &Path) -> Result<PathBuf> {
    let (source, library) = (within.join("clock.c"), within.join("clock.so"));
    std::fs::write(&source, CLOCK)?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl");
    shell::read(&mut compiler)?;
    Ok(library)
}

/// A time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "use a time with its unit, such as 90s or 5m".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let count: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    match &text[unit_at..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(count.saturating_mul(3_600))),
        _ => Err(wrong()),
    }
}
