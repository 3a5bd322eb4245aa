//! Where log lines go and how they look: stderr, or a file when the terminal is not ours to write
//! to. Data never goes here.

mod recent;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::recent::Remember;
pub(crate) use self::recent::{Line, RECENT};

use crate::screen;
use crate::settings::{LogFormat, Settings};

/// The log of a node that has no terminal.
pub(crate) const FILE: &str = "server.log";

/// Whether `text` says what to log.
pub(crate) fn is_filter(text: &str) -> bool {
    EnvFilter::builder().parse(text).is_ok()
}

/// Starts logging, once a process: to the file when there is one, else to stderr.
pub(crate) fn start(settings: &Settings, file: Option<File>) {
    let filter = EnvFilter::builder()
        .parse(with_quiet_libraries(&settings.log_level))
        .unwrap_or_else(|_error| EnvFilter::new("info"));
    let ansi = file.is_none() && screen::colours(io::stderr().is_terminal());
    let writer = match file {
        Some(file) => BoxMakeWriter::new(Arc::new(file)),
        None => BoxMakeWriter::new(io::stderr),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(ansi);
    let level = settings.log_level.clone();
    let started = match settings.log_format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            keep(builder.reload_handle(), level);
            builder.finish().with(Remember).try_init()
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            keep(builder.reload_handle(), level);
            builder.finish().with(Remember).try_init()
        }
    };
    if let Err(error) = started {
        screen::talk(format_args!("logging does not start: {error}"));
    }
}

/// Logs another level from now on, or with none the one of the start again.
pub(crate) fn set_level(level: Option<&str>) {
    if let Some(set) = SET.get() {
        set(level);
    }
}

/// Changes the level of a log.
type SetLevel = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// What changes the level of this process's log; there is one log as there is one process.
static SET: OnceLock<SetLevel> = OnceLock::new();

fn keep<S: 'static>(handle: Handle<EnvFilter, S>, at_start: String) {
    let known = Mutex::new(at_start.clone());
    let set = move |level: Option<&str>| {
        let level = level.unwrap_or(&at_start);
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == level {
            return;
        }
        let filter = EnvFilter::builder().parse(with_quiet_libraries(level));
        let changed = filter
            .map_err(|error| error.to_string())
            .and_then(|filter| handle.reload(filter).map_err(|error| error.to_string()));
        match changed {
            Ok(()) => {
                level.clone_into(&mut known);
                tracing::info!(level, "the log has another level");
            }
            Err(error) => tracing::warn!(level, error, "the log keeps its level"),
        }
    };
    // A second start of logging in one process finds that there is one.
    let _there = SET.set(Box::new(set));
}

/// Opens the log file of a data folder for appending.
pub(crate) fn open(data: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(data.join(FILE))
}

/// A plain level speaks of hstore; the libraries below it speak up only when something is wrong.
fn with_quiet_libraries(level: &str) -> String {
    let plain = ["error", "warn", "info"];
    if plain.contains(&level) {
        format!("{level},openraft=off,sled=error,h2=error,hyper=error,tower=error,tonic=error")
    } else {
        level.to_owned()
    }
}
