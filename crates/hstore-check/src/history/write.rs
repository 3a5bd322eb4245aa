//! Writing a history as JSON lines.

use std::io::{self, Write};

use super::line::{HeaderLine, Line, LogLine, OperationLine};
use super::lock_line::LockLine;
use super::read::VERSION;
use super::watch_line::WatchLine;
use super::{History, LogEntry, Operation};

impl History {
    /// Writes the history: the header, the operations, the watches, the locks, the log. The caller flushes.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let header = HeaderLine {
            version: VERSION,
            revision: self.base.0,
        };
        line(to, &Line::Header(header))?;
        for operation in &self.operations {
            line(to, &operation_line(operation)?)?;
        }
        for watch in &self.watches {
            line(to, &Line::Watch(Box::new(WatchLine::of(watch))))?;
        }
        for lock in &self.locks {
            line(to, &Line::Lock(LockLine::of(lock)))?;
        }
        for entry in &self.log {
            line(to, &log_line(entry))?;
        }
        Ok(())
    }
}

fn operation_line(operation: &Operation) -> io::Result<Line> {
    let line = OperationLine::of(operation).ok_or_else(|| {
        let text = format!("operation {} has no line in this format", operation.id);
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    Ok(Line::Operation(Box::new(line)))
}

fn log_line(entry: &LogEntry) -> Line {
    Line::Log(LogLine::of(entry))
}

fn line(to: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line).map_err(io::Error::from)?;
    to.write_all(b"\n")
}
