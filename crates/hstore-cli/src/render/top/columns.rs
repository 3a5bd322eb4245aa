//! The columns of the nodes in `top`, and which of them a terminal has room for.
//!
//! Invariant: a cell is shown whole or its column is not there, since half of a number is another
//! number. The name alone may be cut.

use hstore_client::v1::{MemberStatus, Timing, Vitals};

use super::{rate, times};
use crate::render::nodes;
use crate::text;

/// The longest name that is shown whole.
const NAME_MAX: usize = 24;

/// What is told of every node in one place of its line.
pub(super) struct Column {
    /// What is above it.
    pub(super) word: &'static str,
    /// What most cells take, so that the columns stand still while their numbers change.
    usual: u16,
    /// Where there is too little room, the column with the largest number goes first.
    leaves: u8,
    /// Words are to the left, numbers to the right.
    pub(super) is_number: bool,
    cell: fn(&MemberStatus) -> String,
}

const COLUMNS: [Column; 13] = [
    Column {
        word: "  NODE",
        usual: 6,
        leaves: 0,
        is_number: false,
        cell: |row| format!("  {}", nodes::name(row)),
    },
    Column {
        word: "ROLE",
        usual: 9,
        leaves: 1,
        is_number: false,
        cell: |row| nodes::role(row).to_owned(),
    },
    number("TERM", 4, 9, |row| row.term.to_string()),
    number("LAG", 4, 3, |row| row.lag.to_string()),
    number("SYNC P50", 8, 8, |row| half(row, |it| it.log_sync)),
    number("SYNC P99", 8, 4, |row| most(row, |it| it.log_sync)),
    number("REQ/S", 6, 2, |row| {
        vital(row, |it| rate(it.requests_per_second))
    }),
    number("REQ P50", 7, 7, |row| half(row, |it| it.requests)),
    number("REQ P99", 7, 5, |row| most(row, |it| it.requests)),
    number("MEMORY", 9, 10, |row| {
        vital(row, |it| text::size(it.resident_bytes))
    }),
    number("CPU", 5, 6, |row| {
        vital(row, |it| format!("{} %", it.cpu_thousandths / 10))
    }),
    number("STORE", 9, 12, |row| {
        vital(row, |it| text::size(it.engine_bytes))
    }),
    number("UPTIME", 11, 11, |row| text::span(row.uptime_ms)),
];

const fn number(
    word: &'static str,
    usual: u16,
    leaves: u8,
    cell: fn(&MemberStatus) -> String,
) -> Column {
    Column {
        word,
        usual,
        leaves,
        is_number: true,
        cell,
    }
}

impl Column {
    /// What it says of a node. Of one that does not answer nothing is known but that.
    pub(super) fn cell(&self, row: &MemberStatus) -> String {
        match self.leaves {
            0 => (self.cell)(row),
            _ if row.reachable => (self.cell)(row),
            1 => "DOWN".to_owned(),
            _ => String::new(),
        }
    }

    fn width(&self, rows: &[&MemberStatus]) -> u16 {
        let cells = rows.iter().map(|row| self.cell(row).chars().count());
        let longest = cells.max().unwrap_or(0).min(NAME_MAX + 2) as u16;
        longest.max(self.usual)
    }
}

/// The columns that fit beside each other into `room` cells, a blank between them, and their widths.
pub(super) fn fit(rows: &[&MemberStatus], room: u16) -> Vec<(&'static Column, u16)> {
    let all = COLUMNS.iter().map(|column| (column, column.width(rows)));
    let mut shown: Vec<(&'static Column, u16)> = all.collect();
    let taken = |shown: &[(&Column, u16)]| shown.iter().map(|(_, width)| width + 1).sum::<u16>();
    while shown.len() > 1 && taken(&shown) > room.saturating_add(1) {
        let last = shown.iter().map(|(column, _)| column.leaves).max();
        shown.retain(|(column, _)| Some(column.leaves) != last);
    }
    shown
}

fn vital(row: &MemberStatus, shown: impl Fn(&Vitals) -> String) -> String {
    row.vitals.as_ref().map_or_else(|| "-".to_owned(), shown)
}

fn half(row: &MemberStatus, timing: impl Fn(&Vitals) -> Option<Timing>) -> String {
    let [half, _] = times(row.vitals.as_ref().and_then(timing));
    half
}

fn most(row: &MemberStatus, timing: impl Fn(&Vitals) -> Option<Timing>) -> String {
    let [_, most] = times(row.vitals.as_ref().and_then(timing));
    most
}
