//! One case's own corner of the machine: a folder, a registry of running nodes, no settings from
//! outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::Duration;

use hstore_client::local::{Registry, RunningNode};
use tempfile::TempDir;

use super::node::Node;

/// The longest that a command which is not a server may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(100);

/// A corner of the machine.
pub(crate) struct World {
    folder: TempDir,
}

/// A command that has ended.
pub(crate) struct Done {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// What it wrote to stdout, as text.
    pub(crate) out: String,
    /// The same as bytes.
    pub(crate) bytes: Vec<u8>,
    /// What it wrote to stderr.
    pub(crate) talk: String,
}

impl World {
    /// A new, empty corner.
    pub(crate) fn new() -> World {
        World {
            folder: tempfile::Builder::new()
                .prefix("hstore-it-")
                .tempdir()
                .expect("a temporary folder can be made"),
        }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data folder of a node.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path(&format!("data-{name}"))
    }

    /// A command that sees nothing of the machine's own settings.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HSTORE_") {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.folder.path())
            .env("HSTORE_RUNTIME_DIR", self.path("runtime"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs hstore-server to its end.
    pub(crate) fn server<S: AsRef<str>>(&self, arguments: &[S]) -> Done {
        let mut command = self.command(server_binary());
        command.args(arguments.iter().map(AsRef::as_ref));
        self.finish(&mut command)
    }

    /// Runs hstore-cli to its end.
    pub(crate) fn cli<S: AsRef<str>>(&self, arguments: &[S]) -> Done {
        let mut command = self.command(cli_binary());
        command.args(arguments.iter().map(AsRef::as_ref));
        self.finish(&mut command)
    }

    /// Runs any command to its end, within a bound.
    pub(crate) fn finish(&self, command: &mut Command) -> Done {
        let out = tempfile::tempfile_in(self.folder.path()).unwrap();
        let talk = tempfile::tempfile_in(self.folder.path()).unwrap();
        let mut child = command
            .stdout(out.try_clone().unwrap())
            .stderr(talk.try_clone().unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        let begin = std::time::Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > COMMAND_DEADLINE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{command:?} did not end in time: {}", text(talk));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let bytes = bytes(out);
        Done {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            talk: text(talk),
        }
    }

    /// Starts a node that founds a cluster or resumes, and waits until it is ready.
    pub(crate) fn start(&self, name: &str, more: &[&str]) -> Node {
        Node::start(self, name, &["start"], more).ready()
    }

    /// Starts a node that joins through another, and waits until it is ready.
    pub(crate) fn join(&self, name: &str, through: &Node, more: &[&str]) -> Node {
        let address = through.address();
        Node::start(self, name, &["join", &address], more).ready()
    }

    /// A cluster of `count` nodes, n1 first, all of them voters that know a leader.
    pub(crate) fn cluster(&self, count: usize, more: &[&str]) -> Vec<Node> {
        let mut nodes = vec![self.start("n1", more)];
        for n in 2..=count {
            let node = self.join(&format!("n{n}"), &nodes[0], more);
            nodes.push(node);
        }
        nodes[0].settled(count);
        nodes
    }

    /// The nodes that say they run here.
    pub(crate) fn running(&self) -> Vec<RunningNode> {
        Registry::at(self.path("runtime")).running()
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

/// How much of an output a failing test shows.
const SHOWN_CHARS: usize = 2_000;

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |text: &str| text.chars().take(SHOWN_CHARS).collect::<String>();
        f.debug_struct("Done")
            .field("code", &self.code)
            .field("out", &short(&self.out))
            .field("talk", &short(&self.talk))
            .finish_non_exhaustive()
    }
}

impl Done {
    /// It ended well; gives what it wrote.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "it failed: {self:?}");
        self.out
    }

    /// It ended with this exit code, and its talk names this error code.
    #[track_caller]
    pub(crate) fn failed(&self, exit: i32, code: &str) -> &Done {
        assert_eq!(self.code, exit, "another exit code: {self:?}");
        assert!(
            self.talk.contains(code),
            "its talk does not name {code}: {self:?}"
        );
        assert!(!self.talk.contains("panicked"), "it panicked: {self:?}");
        self
    }

    /// Its talk holds these words, so that a person knows what to do.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Done {
        assert!(
            self.talk.contains(words),
            "its talk does not say {words:?}: {self:?}"
        );
        self
    }
}

/// The server that cargo built for this test.
pub(crate) fn server_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_hstore-server"))
}

/// The command line client beside it. Cargo builds it with the workspace, but not with this crate
/// alone; then it is built here.
pub(crate) fn cli_binary() -> PathBuf {
    static BUILT: Once = Once::new();
    let path = server_binary().with_file_name("hstore-cli");
    BUILT.call_once(|| {
        if !path.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let status = Command::new(cargo)
                .args(["build", "--package", "hstore-cli", "--bins"])
                .status()
                .expect("cargo starts");
            assert!(status.success(), "hstore-cli does not build");
        }
    });
    path
}

/// Runs a tool of the machine; panics when it fails.
#[track_caller]
pub(crate) fn tool(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
    assert!(
        status.success(),
        "{command:?}: {status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

fn bytes(mut file: fs::File) -> Vec<u8> {
    use std::io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn text(file: fs::File) -> String {
    String::from_utf8_lossy(&bytes(file)).into_owned()
}
