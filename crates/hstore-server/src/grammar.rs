//! The command line: what can be typed, and what it is called. Help, completion and man pages come
//! from here; the flags of settings come from the table of settings.
//!
//! It parses and decides nothing.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use crate::settings::{KEYS, Kind, Layer, Origin, parse_duration};

/// A distributed, linearizable key-value store: the server and the management of its nodes.
#[derive(Debug, Parser)]
#[command(
    name = "hstore-server",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100,
    after_help = AFTER_HELP,
)]
pub(crate) struct Line {
    /// How data and errors are written.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) output: Output,
    /// Who manages, where nodes ask; the password is HSTORE_PASSWORD, or asked for [default:
    /// HSTORE_USER].
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// A file with the password.
    #[arg(long, global = true, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
Three terminals, three nodes:
  hstore-server start
  hstore-server join
  hstore-server join

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 no quorum or unreachable,
6 permission, 7 timeout, 8 partly done, 130 interrupted.";

const AFTER_LAUNCH_HELP: &str = "\
Every setting is a flag, a variable HSTORE_NAME (HSTORE_CACHE_BYTES=1GiB) and a key of the file
that --config names (cache-bytes = \"1GiB\"); the flag wins over the variable, the variable over the
file. hstore-server config print --origin shows what holds.";

const AFTER_RESTORE_HELP: &str = "\
The file is one of hstore-cli snapshot save, of etcdctl snapshot save against hstore, or out of the
folder snapshots/ of a node. The cluster is new: the nodes of the former one cannot join it, and
clients of the former one that watch from a revision that was never restored hear nothing of it
unless --bump-revision and --mark-compacted say that it is gone.";

const AFTER_CONFIG_HELP: &str = "\
What is set goes before flags, environment and file, and holds at once:
  hstore-server config set log-level debug
  hstore-server config set quota-bytes 8GiB
  hstore-server config set name alpha --node n1
  hstore-server config set type learner --node n3
  hstore-server config get
  hstore-server config print --origin --node alpha
Settings that change: auto-compaction, cache-bytes, heartbeat (how often the leader looks whether its
followers are there), log-level, name, quota-bytes, type (voter or learner).";

const AFTER_IMPORT_HELP: &str = "\
etcd is only read. The new store stands at etcd's own revisions: clients that hold revisions go on.
History before the first revision that was read does not come over, nor do users. Stop those who
write to etcd, then press Ctrl-C: every key is compared, and the last line says where both agree.
An import that was interrupted goes on when the same command is given again.
With --cacert or --cert, an endpoint that does not say how it is spoken to is spoken to with TLS.";

const AFTER_DEMO_HELP: &str = "\
The nodes are real processes on loopback addresses of their own, with data in a temporary folder.
They and other nodes of this machine do not hear of each other. Stories: lose-the-leader,
split-the-cluster, lose-the-majority, slow-disk.";

/// How data and errors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// JSON, one object, or one object a line where data keeps coming.
    Json,
    /// For people.
    #[default]
    Table,
}

impl Output {
    /// Whether a program reads it.
    pub(crate) fn is_json(self) -> bool {
        self == Output::Json
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start a node: found a cluster of one in an empty data folder, resume in a used one.
    #[command(after_help = AFTER_LAUNCH_HELP)]
    Start(Launch),
    /// Start a node that joins a running cluster: the one on this machine, or through HOST.
    #[command(after_help = AFTER_LAUNCH_HELP)]
    Join(Join),
    /// List the nodes of the clusters on this machine, or of the cluster of a host.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one node in every detail.
    Status(Status),
    /// Stop nodes gracefully: hand leadership over, drain, sync.
    Stop(Stop),
    /// Kill nodes at once, as SIGKILL does. Nothing that was acknowledged is lost.
    Kill(Targets),
    /// Restart nodes with the settings of their last start, also those that are stopped.
    Restart(Targets),
    /// Remove a node from its cluster, for ever. Its data folder stays.
    #[command(visible_alias = "rm")]
    Remove(Remove),
    /// Make the data folder of a new cluster from a saved file; `start` then runs it.
    #[command(after_help = AFTER_RESTORE_HELP)]
    Restore(Restore),
    /// Bring a running etcd over into the data folder of a new cluster: its keys with their
    /// revisions, its leases, then its changes until it is time to change over.
    #[command(after_help = AFTER_IMPORT_HELP)]
    ImportEtcd(ImportEtcd),
    /// Show a cluster at work and in trouble: nodes, a load, faults, stories. Nothing of it stays.
    #[command(after_help = AFTER_DEMO_HELP)]
    Demo(Demo),
    /// Be a node of a demo.
    #[command(hide = true)]
    DemoNode(DemoNode),
    /// Tidy up after a demo.
    #[command(hide = true)]
    DemoWarden(DemoWarden),
    /// Change and show the settings of a running cluster; check or print those of a start.
    #[command(after_help = AFTER_CONFIG_HELP)]
    Config(Config),
    /// Print the completion script of a shell.
    Completion {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page a command to a folder.
    Man {
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// How a node is launched.
#[derive(Clone, Debug, Args)]
pub(crate) struct Launch {
    /// A settings file (TOML) [env: HSTORE_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Run in the background; return when the node is ready. Its log is DATA/server.log.
    #[arg(long, conflicts_with = "shell")]
    pub(crate) detach: bool,
    /// Run with the hstore shell in this terminal; leaving it stops the node.
    #[arg(long)]
    pub(crate) shell: bool,
    /// Begin with the settings of the last start (what `restart` does).
    #[arg(long, hide = true)]
    pub(crate) recorded: bool,
    /// Be the process in the background.
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// The settings.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// How a node joins.
#[derive(Clone, Debug, Args)]
pub(crate) struct Join {
    /// A node of the cluster, whichever it is: HOST or HOST:PORT.
    #[arg(value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// As with start.
    #[command(flatten)]
    pub(crate) launch: Launch,
}

/// Which nodes are listed.
#[derive(Clone, Debug, Args)]
pub(crate) struct List {
    /// Ask this node: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST", env = "HSTORE_HOST")]
    pub(crate) host: Option<String>,
    /// Only this cluster, by name or id.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// Follow changes until interrupted.
    #[arg(long, short)]
    pub(crate) watch: bool,
}

/// Which node is shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct Status {
    /// The node: a name or HOST:PORT. Without, every node that runs on this machine.
    #[arg(value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Only this cluster, by name or id.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
}

/// Some nodes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Targets {
    /// The nodes: names, HOST:PORT, or data folders.
    #[arg(value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<String>,
    /// The cluster that the names are of, by name or id.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Which nodes are stopped.
#[derive(Clone, Debug, Args)]
pub(crate) struct Stop {
    /// The nodes: names, HOST:PORT, or data folders.
    #[arg(value_name = "NODE", required_unless_present = "all")]
    pub(crate) nodes: Vec<String>,
    /// Every node that runs on this machine.
    #[arg(long, conflicts_with = "nodes")]
    pub(crate) all: bool,
    /// The cluster that the names are of, by name or id.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Which node is removed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remove {
    /// The node: a name, a node id or HOST:PORT.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Ask this node of the cluster to do it.
    #[arg(long, value_name = "HOST", env = "HSTORE_HOST")]
    pub(crate) host: Option<String>,
    /// The cluster that the name is of, by name or id.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// What is restored, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Restore {
    /// The saved file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The data folder; it must be empty [default: ./hstore-data/NAME]
    #[arg(long, visible_alias = "data-dir", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The name of the node [default: the first free of n1, n2, ...]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The name of the new cluster [default: one is drawn]
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Go on so many revisions later than the file ends, as if they had been given.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        requires = "mark_compacted",
        value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64)
    )]
    pub(crate) bump_revision: u64,
    /// Say that all history before the first new revision was compacted.
    #[arg(long)]
    pub(crate) mark_compacted: bool,
}

/// What is brought over, where to, and until when.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportEtcd {
    /// Where etcd's clients reach it: HOST:PORT, http:// or https:// in front, one or several.
    #[arg(value_name = "ENDPOINT", required = true, value_delimiter = ',')]
    pub(crate) endpoints: Vec<String>,
    /// The authorities that etcd's certificate may be signed by (PEM) [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// The certificate that etcd asks for (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The data folder; it must be empty [default: ./hstore-data/NAME]
    #[arg(long, visible_alias = "data-dir", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The name of the node [default: the first free of n1, n2, ...]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The name of the new cluster [default: one is drawn]
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Change over when everything is here that etcd has now.
    #[arg(long, conflicts_with = "until_idle")]
    pub(crate) once: bool,
    /// Change over when etcd has not changed for this long.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        default_missing_value = "5s",
        require_equals = true,
        value_parser = duration
    )]
    pub(crate) until_idle: Option<Duration>,
}

/// What is shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct Demo {
    /// How many nodes.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(3..=50)
    )]
    pub(crate) nodes: u8,
    /// The port of the page, on 127.0.0.1 [default: a free one]
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) port: u16,
    /// Open the page in a browser; without a word it is opened from a terminal with a screen.
    #[arg(long, overrides_with = "no_open")]
    pub(crate) open: bool,
    /// Do not open the page.
    #[arg(long)]
    pub(crate) no_open: bool,
    /// Tell the stories without a page, and end: 0 if every promise was kept.
    #[arg(long, conflicts_with_all = ["port", "open", "no_open"])]
    pub(crate) check: bool,
    /// Tell only this story; may be given again.
    #[arg(long = "story", value_name = "NAME", requires = "check")]
    pub(crate) stories: Vec<String>,
    /// The same as --output json.
    #[arg(long, requires = "check")]
    pub(crate) json: bool,
}

impl Demo {
    /// Whether the page is to be opened in a browser.
    pub(crate) fn opens(&self) -> bool {
        let screen = ["DISPLAY", "WAYLAND_DISPLAY"];
        let has_screen = screen.iter().any(|name| std::env::var_os(name).is_some());
        self.open || !self.no_open && has_screen && std::io::stdout().is_terminal()
    }
}

/// A node of a demo.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoNode {
    /// Whom to join through.
    #[arg(long, value_name = "HOST")]
    pub(crate) join: Option<String>,
    /// Where its connections to peers come from.
    #[arg(long, value_name = "IP")]
    pub(crate) speak_from: Option<IpAddr>,
    /// The settings.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What to tidy up.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoWarden {
    /// The folder of the demo.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// What to do with the settings.
#[derive(Clone, Debug, Args)]
pub(crate) struct Config {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

/// What to do with the settings.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Set a setting of the cluster, or of one node, while it runs.
    Set(ConfigSet),
    /// Take a setting back: what each node was started with holds again.
    Unset(ConfigUnset),
    /// Show what is set, or the value of one setting.
    Get(ConfigGet),
    /// Say whether the settings make sense.
    Check(ConfigSources),
    /// Print every setting, as a settings file.
    Print {
        /// Say who set it.
        #[arg(long)]
        origin: bool,
        /// Of this running node, what holds there now: a name, a node id or HOST:PORT.
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// Look for that node through this one: HOST or HOST:PORT.
        #[arg(long, value_name = "HOST", env = "HSTORE_HOST", requires = "node")]
        host: Option<String>,
        /// The sources.
        #[command(flatten)]
        sources: ConfigSources,
    },
}

/// What is set.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigSet {
    /// The setting, such as log-level.
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// Its value, as the flag of that name takes it.
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: String,
    /// Only for this node: a name, a node id or HOST:PORT.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Only if the settings are at this version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
    /// The cluster.
    #[command(flatten)]
    pub(crate) which: WhichCluster,
}

/// What is taken back.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigUnset {
    /// The setting.
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    /// What was set for this node: a name, a node id or HOST:PORT.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// Only if the settings are at this version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
    /// The cluster.
    #[command(flatten)]
    pub(crate) which: WhichCluster,
}

/// What is shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigGet {
    /// The setting whose value is shown; without, everything that is set.
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// As it holds at this node: a name, a node id or HOST:PORT.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// The cluster.
    #[command(flatten)]
    pub(crate) which: WhichCluster,
}

/// A running cluster.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhichCluster {
    /// Ask this node of the cluster: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST", env = "HSTORE_HOST")]
    pub(crate) host: Option<String>,
    /// The cluster, by name or id.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<String>,
}

/// Where the settings come from.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigSources {
    /// A settings file (TOML) [env: HSTORE_CONFIG].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The settings.
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// The flags of the settings, made from the table of settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(pub(crate) Layer);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading("Settings");
        let arguments = KEYS.iter().map(|key| {
            let help = match key.default {
                Some(default) if key.kind != Kind::Switch => {
                    format!("{} [default: {default}]", key.help)
                }
                _ => key.help.to_owned(),
            };
            let argument = Arg::new(key.name).long(key.name).help(help);
            match key.kind {
                Kind::Switch => argument.action(ArgAction::SetTrue),
                Kind::List => argument
                    .value_name(key.value)
                    .action(ArgAction::Append)
                    .allow_hyphen_values(true),
                _ => argument.value_name(key.value).allow_hyphen_values(true),
            }
        });
        command.args(arguments)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let mut layer = Layer::default();
        for key in KEYS {
            let value = match key.kind {
                Kind::Switch => matches.get_flag(key.name).then(|| "true".to_owned()),
                Kind::List => matches.get_many::<String>(key.name).map(|items| {
                    let items: Vec<&str> = items.map(String::as_str).collect();
                    items.join(",")
                }),
                _ => matches.get_one::<String>(key.name).cloned(),
            };
            if let Some(value) = value {
                layer.set(key, value, Origin::Flag);
            }
        }
        Ok(Flags(layer))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "use a time with its unit, such as 500ms or 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn what_can_be_typed_is_understood() {
        for line in [
            "hstore-server start",
            "hstore-server start --name n1 --listen 127.0.0.1:0 --data /d --cluster c --detach",
            "hstore-server start --config f.toml --shell --insecure",
            "hstore-server join",
            "hstore-server join host:2379 --seeds a,b --seeds c",
            "hstore-server list --host h --watch --output json",
            "hstore-server --output json ls",
            "hstore-server list --user root",
            "hstore-server --user root --password-file f join host:2379",
            "hstore-server stop n1 n2",
            "hstore-server stop --all",
            "hstore-server kill n1",
            "hstore-server restart n1 --timeout 5s",
            "hstore-server remove n1 --yes",
            "hstore-server status",
            "hstore-server restore f",
            "hstore-server restore f --data-dir d --name n --cluster c",
            "hstore-server restore f --data d --bump-revision 1000 --mark-compacted",
            "hstore-server import-etcd 127.0.0.1:2379",
            "hstore-server import-etcd a:1,b:2 http://c:3 --once --name n",
            "hstore-server import-etcd a --until-idle --data-dir d",
            "hstore-server import-etcd a --until-idle=10s --cluster c",
            "hstore-server import-etcd https://a:1 --cacert f --cert g --key h",
            "hstore-server config check --config f",
            "hstore-server config print --origin --cache-bytes 1GiB",
            "hstore-server config print --origin --node n1",
            "hstore-server config set log-level debug",
            "hstore-server config set name alpha --node n1 --if-version 3 --host h:1",
            "hstore-server config unset cache-bytes --cluster c",
            "hstore-server config get",
            "hstore-server config get type --node n1",
            "hstore-server completion bash",
            "hstore-server man",
        ] {
            assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "hstore-server",
            "hstore-server strat",
            "hstore-server start host",
            "hstore-server start --detach --shell",
            "hstore-server start --no-such-flag",
            "hstore-server stop",
            "hstore-server stop --all n1",
            "hstore-server list --password-file f",
            "hstore-server kill",
            "hstore-server restart n1 --timeout 5",
            "hstore-server remove",
            "hstore-server restore",
            "hstore-server restore f g",
            "hstore-server restore f --bump-revision 1000",
            "hstore-server restore f --bump-revision -1 --mark-compacted",
            "hstore-server import-etcd",
            "hstore-server import-etcd a --once --until-idle",
            "hstore-server import-etcd a --until-idle=5",
            "hstore-server import-etcd https://a --cert f",
            "hstore-server import-etcd https://a --key f",
            "hstore-server config",
            "hstore-server config set log-level",
            "hstore-server config set log-level info --if-version x",
            "hstore-server config unset",
            "hstore-server config get a b",
            "hstore-server list --output xml",
            "hstore-server completion tcl",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn flags_become_a_layer_with_their_origin() {
        let line =
            parse("x join --seeds a,b --seeds c --insecure --cache-bytes 1GiB").expect("good");
        let Verb::Join(join) = line.verb else {
            panic!("it says join");
        };
        let layer = join.launch.flags.0;
        let value = |name: &str| layer.get(name).map(|given| given.value.as_str());
        assert_eq!(value("seeds"), Some("a,b,c"));
        assert_eq!(value("insecure"), Some("true"));
        assert_eq!(value("cache-bytes"), Some("1GiB"));
        assert_eq!(value("name"), None);
    }
}
