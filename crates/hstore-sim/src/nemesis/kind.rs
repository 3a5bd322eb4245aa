//! What can be done to a cluster: every kind of fault by its name.
//!
//! Invariant: a name is never given another meaning, since schedules and records of failed seeds
//! are kept.

use std::fmt;

/// What a fault is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// The way between machines.
    Network,
    /// What a machine keeps.
    Disk,
    /// What a machine runs.
    Process,
    /// The time of day.
    Clock,
    /// Who is in the cluster.
    Members,
    /// How much is asked of it.
    Load,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $family:ident;)*) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The name, for ever.
            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }

            /// What it is done to.
            pub fn family(self) -> Family {
                match self { $(Kind::$name => Family::$family,)* }
            }
        }
    };
}

kinds! {
    /// Frames take longer, all about the same.
    Delay = "delay", Network;
    /// Frames take longer, some much longer: connections overtake each other.
    Jitter = "jitter", Network;
    /// Frames break their connection.
    Break = "break", Network;
    /// Frames are lost and sent again; what is behind them waits.
    Lose = "lose", Network;
    /// What was said on one connection is heard again on another, late.
    Echo = "echo", Network;
    /// One machine is cut off from all others.
    Isolate = "isolate", Network;
    /// Two groups of machines are cut off from each other.
    Split = "split", Network;
    /// One machine hears the others and is not heard, or the other way round.
    OneWay = "one_way", Network;
    /// Two groups see each other only through one machine.
    Bridge = "bridge", Network;
    /// Every machine sees its two neighbours on a ring only.
    Ring = "ring", Network;
    /// Two machines cannot see each other; all others see both.
    Pair = "pair", Network;
    /// Frames of one link wait; nothing ends.
    Clog = "clog", Network;
    /// Links clog one after the other and are freed in another order.
    Swizzle = "swizzle", Network;
    /// One machine is cut off and is back, again and again.
    Flap = "flap", Network;
    /// The connections of one machine die, and nobody hears of it.
    HalfOpen = "half_open", Network;
    /// Nobody can connect to one machine; what is connected stays.
    Refuse = "refuse", Network;
    /// A firewall resets everything between two machines.
    Reset = "reset", Network;
    /// Reading from the disk fails once.
    ReadFails = "read_fails", Disk;
    /// Writing to the disk fails once.
    WriteFails = "write_fails", Disk;
    /// Syncing a file fails once.
    SyncFails = "sync_fails", Disk;
    /// Changing or syncing a folder fails once.
    FolderFails = "folder_fails", Disk;
    /// The disk is full for a while.
    Full = "full", Disk;
    /// Everything on the disk takes long.
    SlowDisk = "slow_disk", Disk;
    /// Nothing on the disk ends for a while.
    StuckDisk = "stuck_disk", Disk;
    /// Bits of a file turn over while the machine is off.
    FlipBits = "flip_bits", Disk;
    /// The power fails in the middle of an operation of the disk: torn writes, lost syncs.
    TornWrite = "torn_write", Disk;
    /// One machine loses its power: what was not synced may be gone.
    Crash = "crash", Process;
    /// All machines lose their power at once.
    CrashAll = "crash_all", Process;
    /// One process is killed: what was written is there.
    Kill = "kill", Process;
    /// All processes are killed at once.
    KillAll = "kill_all", Process;
    /// One process is killed again and again, as soon as it is back.
    KillLoop = "kill_loop", Process;
    /// One process stands still.
    Pause = "pause", Process;
    /// All processes stand still.
    PauseAll = "pause_all", Process;
    /// One process is asked to stop, and started again.
    Stop = "stop", Process;
    /// All processes are asked to stop, one after the other.
    RollingStop = "rolling_stop", Process;
    /// A clock on the wall is wrong for a while.
    ClockSkew = "clock_skew", Clock;
    /// A clock on the wall jumps back and forth.
    ClockJump = "clock_jump", Clock;
    /// A new machine joins.
    Grow = "grow", Members;
    /// A machine is removed.
    Shrink = "shrink", Members;
    /// A machine loses its disk and joins again under another id.
    Replace = "replace", Members;
    /// Leadership is handed over.
    Transfer = "transfer", Members;
    /// More is asked at once than a queue holds.
    Burst = "burst", Load;
    /// The history is dropped.
    Compact = "compact", Load;
    /// Large values, so that the log grows, a snapshot is due and the log is let go.
    Bulk = "bulk", Load;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
