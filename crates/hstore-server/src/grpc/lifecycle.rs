//! The end of the process, as far as a door needs to know.

/// Ends the process. Each method asks and returns at once; the answer travels before the end.
pub trait Lifecycle: Send + Sync {
    /// Stops: with grace the leadership is handed over and what waits is drained; without, only
    /// what is on its way to the disk gets there.
    fn stop(&self, graceful: bool);

    /// Ends at once, as SIGKILL would.
    fn kill(&self);

    /// Stops gracefully, then starts again with the recorded settings.
    fn restart(&self);
}
