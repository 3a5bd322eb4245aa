//! The picture of `top`: drawn into a buffer of cells, which a terminal shows or text is made of.
//!
//! Invariants: (1) it fits into any area, and a number has room or is not there; (2) no colour means
//! anything that a word does not say, and without colour there is none.

mod columns;

use std::io::{self, Write};
use std::time::Duration;

use hstore_client::v1::{ClusterDescription, MemberStatus, Timing, Vitals};
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{
    Block, Borders, Cell, Clear, Paragraph, Row, Sparkline, Table, Widget, Wrap,
};
use serde_json::{Value, json};

use self::columns::Column;
use super::nodes::{self, Health};
use crate::run::top::{Picture, name_of};
use crate::text;

/// Nothing newer than this is old.
const FRESH: Duration = Duration::from_secs(3);

/// The lines of a chart, its title among them.
const CHART_LINES: u16 = 5;

/// The fewest lines that the part below is worth.
const BELOW_LINES: u16 = 4;

const HELP: &str = "\
q, Esc, Ctrl-C  leave
up, down        choose the node that is described below
left, right     choose what the nodes are sorted by
r               reverse the order
?               show or hide this

LAG    committed entries that the node has yet to apply
SYNC   how long syncing its log took
REQ    calls about keys: how many a second, how long
P50    half took no longer; P99: 99 of 100 took no longer
STORE  what its working store takes on the disk
Rates and times are those of the last ten seconds; elections
are those since top began. A narrow terminal shows less.";

/// As wide as the help with its frame.
const HELP_WIDTH: u16 = 62;

/// Draws everything into `area`.
pub(crate) fn draw(
    picture: &Picture,
    now: Duration,
    color: bool,
    interactive: bool,
    area: Rect,
    buffer: &mut Buffer,
) {
    let drawing = Drawing {
        picture,
        now,
        color,
        interactive,
    };
    drawing.draw(area, buffer);
}

struct Drawing<'a> {
    picture: &'a Picture,
    now: Duration,
    color: bool,
    interactive: bool,
}

impl Drawing<'_> {
    fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let Some(cluster) = &self.picture.cluster else {
            Paragraph::new("nothing heard yet").render(area, buffer);
            return;
        };
        let keys = u16::from(self.interactive);
        let room = area.height.saturating_sub(2 + keys);
        let wanted = cluster.members.len() as u16 + 1;
        // Many nodes leave half of the room to the rest.
        let table = if room >= wanted + CHART_LINES + BELOW_LINES {
            wanted
        } else {
            wanted.min(room).min((room / 2).max(8))
        };
        let room = room - table.min(room);
        let charts = if room >= CHART_LINES { CHART_LINES } else { 0 };
        let [head, table, charts, below, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length(table),
            Constraint::Length(charts),
            Constraint::Min(0),
            Constraint::Length(keys),
        ])
        .areas(area);
        self.head(cluster, head, buffer);
        self.table(table, buffer);
        if charts.height > 0 {
            self.charts(charts, buffer);
        }
        if below.height >= BELOW_LINES {
            self.below(cluster, below, buffer);
        }
        if self.interactive {
            let sort = self.picture.sort.as_str();
            let around = if self.picture.reversed {
                ", reversed"
            } else {
                ""
            };
            let keys = [
                "q leave".to_owned(),
                "? help".to_owned(),
                "up/down node".to_owned(),
                format!("left/right sort: {sort}{around}"),
                "r reverse".to_owned(),
            ];
            Paragraph::new(whole(&keys, foot.width))
                .style(self.faint())
                .render(foot, buffer);
            if self.picture.help {
                help(area, buffer);
            }
        }
    }

    fn head(&self, cluster: &ClusterDescription, area: Rect, buffer: &mut Buffer) {
        let health = nodes::health(cluster);
        let mut style = match health {
            Health::Healthy { .. } => self.colored(Color::Green),
            Health::Degraded { .. } => self.colored(Color::Yellow),
            Health::NoQuorum { .. } => self.colored(Color::Red),
        };
        let mut first = format!("cluster {}: {health}", cluster.cluster_name);
        let age = self.now.saturating_sub(self.picture.heard);
        if age > FRESH {
            style = self.colored(Color::Red);
            let why = match &self.picture.trouble[..] {
                "" => "silence",
                trouble => trouble,
            };
            let age = text::span(age.as_millis() as u64);
            first = format!("OLD, {age} ago: {first}   ({why})");
        }
        let [top, bottom] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
        Paragraph::new(first)
            .style(style.add_modifier(Modifier::BOLD))
            .render(top, buffer);
        let leader = match cluster.leader {
            0 => "no leader".to_owned(),
            leader => format!("leader {}", name_of(cluster, leader)),
        };
        let alarms = match &cluster.alarms[..] {
            [] => "no alarm".to_owned(),
            alarms => {
                let named = alarms.iter();
                let named =
                    named.map(|it| format!("{} of {}", it.kind, name_of(cluster, it.node_id)));
                format!("ALARM {}", named.collect::<Vec<_>>().join(", "))
            }
        };
        let mut second = vec![
            leader,
            alarms,
            format!("term {}", cluster.term),
            format!("rev {}", cluster.revision),
        ];
        if self.interactive {
            second.push(format!("elections {}", self.picture.elections));
        }
        let by = name_of(cluster, cluster.node_id);
        second.push(format!("told by {by}"));
        let second = whole(&second, bottom.width);
        Paragraph::new(second).render(bottom, buffer);
    }

    fn table(&self, area: Rect, buffer: &mut Buffer) {
        let rows = self.picture.rows();
        let columns = columns::fit(&rows, area.width);
        let visible = usize::from(area.height.saturating_sub(1)).max(1);
        let first = (self.picture.selected + 1).saturating_sub(visible);
        let lines = rows.iter().enumerate().skip(first).take(visible);
        let lines = lines.map(|(place, row)| self.row(place, row, &columns));
        let widths = columns.iter().map(|(_, width)| Constraint::Length(*width));
        let head = columns
            .iter()
            .map(|(column, _)| aligned(column, column.word.to_owned()));
        Table::new(lines, widths)
            .header(Row::new(head).style(self.faint()))
            .column_spacing(1)
            .render(area, buffer);
    }

    fn row(&self, place: usize, row: &MemberStatus, columns: &[(&Column, u16)]) -> Row<'static> {
        let chosen = self.interactive && place == self.picture.selected;
        let cells = columns.iter().enumerate().map(|(place, (column, _))| {
            let mut cell = column.cell(row);
            if chosen && place == 0 {
                cell.replace_range(..1, ">");
            }
            aligned(column, cell)
        });
        let mut style = Style::new();
        if !row.reachable {
            style = self.colored(Color::Red);
        }
        if chosen {
            style = style.add_modifier(Modifier::BOLD);
        }
        Row::new(cells).style(style)
    }

    fn charts(&self, area: Rect, buffer: &mut Buffer) {
        let samples = &self.picture.samples;
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2])
            .spacing(1)
            .areas(area);
        let rates: Vec<u64> = samples
            .iter()
            .map(|it| it.requests_per_second.round() as u64)
            .collect();
        self.chart(
            "requests a second",
            &rates,
            &|number| number.to_string(),
            left,
            buffer,
        );
        let shown = |micros| match micros {
            0 => "-".to_owned(),
            micros => text::millis(micros),
        };
        let times: Vec<u64> = samples.iter().map(|it| it.request_p99_us).collect();
        self.chart("p99 of requests", &times, &shown, right, buffer);
    }

    fn chart(
        &self,
        what: &str,
        values: &[u64],
        shown: &dyn Fn(u64) -> String,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let most = values.iter().copied().max().unwrap_or(0);
        let now = values.last().copied().unwrap_or(0);
        let mut title = format!("{what}: {} (most {})", shown(now), shown(most));
        if title.len() + 2 > usize::from(area.width) {
            title = format!("{what}: {}", shown(now));
        }
        let block = self.block(&title);
        let inner = block.inner(area);
        let newest = values.len().saturating_sub(usize::from(inner.width));
        Sparkline::default()
            .block(block)
            .data(&values[newest..])
            .max(most.max(1))
            .style(self.colored(Color::Cyan))
            .render(area, buffer);
    }

    fn below(&self, cluster: &ClusterDescription, area: Rect, buffer: &mut Buffer) {
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2])
            .spacing(1)
            .areas(area);
        let events = self.picture.events.iter();
        let events =
            events.map(|it| Line::from(format!("{:>6} ago  {}", it.age(self.now), it.text)));
        let mut events: Vec<Line> = events.collect();
        if events.is_empty() {
            events.push(Line::from("nothing has happened"));
        }
        Paragraph::new(events)
            .wrap(Wrap { trim: false })
            .block(self.block("what happened"))
            .render(left, buffer);
        if let Some(row) = self.picture.rows().get(self.picture.selected) {
            let lines: Vec<Line> = about(cluster, row).into_iter().map(Line::from).collect();
            Paragraph::new(lines)
                .wrap(Wrap { trim: false })
                .block(self.block(&nodes::name(row)))
                .render(right, buffer);
        }
    }

    fn block(&self, title: &str) -> Block<'static> {
        Block::new()
            .borders(Borders::TOP)
            .border_style(self.faint())
            .title(Line::from(format!(" {title} ")))
            .title_alignment(Alignment::Left)
    }

    fn colored(&self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    fn faint(&self) -> Style {
        if self.color {
            Style::new().add_modifier(Modifier::DIM)
        } else {
            Style::new()
        }
    }
}

/// The keys and the words, over everything else.
fn help(area: Rect, buffer: &mut Buffer) {
    let (width, height) = (
        HELP_WIDTH.min(area.width),
        (HELP.lines().count() as u16 + 2).min(area.height),
    );
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(place, buffer);
    Paragraph::new(HELP)
        .block(Block::bordered().title(" keys "))
        .render(place, buffer);
}

/// As many of the words as there is room for, from the first; that one is cut if it must be.
fn whole(words: &[String], room: u16) -> String {
    let mut line = String::new();
    for word in words {
        let gap = if line.is_empty() { "" } else { "   " };
        let taken = line.chars().count() + gap.len() + word.chars().count();
        if taken > usize::from(room) && !line.is_empty() {
            break;
        }
        line.push_str(gap);
        line.push_str(word);
    }
    line
}

/// What is known of one node.
fn about(cluster: &ClusterDescription, row: &MemberStatus) -> Vec<String> {
    let member = row.member.clone().unwrap_or_default();
    let kind = if row.voter { "voter" } else { "learner" };
    let mut lines = vec![format!(
        "{} {kind}, id {}",
        member.client_address, member.node_id
    )];
    if !row.problem.is_empty() {
        lines.push(format!("problem: {}", row.problem));
    }
    let Some(vitals) = &row.vitals else {
        return lines;
    };
    lines.extend(vitals.problems.iter().map(|it| format!("problem: {it}")));
    lines.push(format!(
        "pid {}, {} in {}",
        vitals.pid, row.version, vitals.data_folder
    ));
    lines.push(format!(
        "{}, {}, {} ({} wait)",
        text::count(vitals.keys, "key"),
        text::count(vitals.leases, "lease"),
        match vitals.watches {
            1 => "1 watch".to_owned(),
            watches => format!("{watches} watches"),
        },
        text::size(vitals.watch_waiting_bytes)
    ));
    let peers = vitals.peers.iter();
    let peers: Vec<String> = peers
        .map(|it| {
            format!(
                "{} {}",
                name_of(cluster, it.node_id),
                text::millis(it.mean_us)
            )
        })
        .collect();
    if !peers.is_empty() {
        lines.push(format!("round trips: {}", peers.join(", ")));
    }
    lines.extend(vitals.calls.iter().take(6).map(|it| {
        let [_, p99] = times(it.timing);
        let failed = match it.failed_per_second {
            0.0 => String::new(),
            failed => format!(", {}/s fail", rate(failed)),
        };
        format!(
            "{:>6}/s  p99 {p99:>7}  {}{failed}",
            rate(it.per_second),
            it.call
        )
    }));
    lines
}

fn aligned(column: &Column, word: String) -> Cell<'static> {
    let line = Line::from(word);
    Cell::from(if column.is_number {
        line.alignment(Alignment::Right)
    } else {
        line
    })
}

/// The two times that are shown of many.
fn times(timing: Option<Timing>) -> [String; 2] {
    match timing {
        Some(Timing {
            count,
            p50_us,
            p99_us,
        }) if count > 0 => [p50_us, p99_us].map(text::millis),
        _ => ["-", "-"].map(str::to_owned),
    }
}

fn rate(per_second: f64) -> String {
    if per_second < 10.0 {
        format!("{per_second:.1}")
    } else {
        format!("{per_second:.0}")
    }
}

/// One picture as text.
pub(super) fn table(out: &mut dyn Write, picture: &Picture) -> io::Result<()> {
    let nodes = picture.cluster.as_ref().map_or(0, |it| it.members.len());
    let area = Rect::new(0, 0, 122, nodes as u16 + 3);
    let mut buffer = Buffer::empty(area);
    draw(picture, picture.heard, false, false, area, &mut buffer);
    write!(out, "{}", lines(&buffer))
}

/// The cells of a buffer as lines, without the blanks at their ends.
fn lines(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for cells in buffer.content.chunks(width) {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One picture for programs.
pub(super) fn json(picture: &Picture) -> Value {
    let Some(cluster) = &picture.cluster else {
        return Value::Null;
    };
    let sample = picture.samples.back().copied().unwrap_or_default();
    let alarms = cluster.alarms.iter();
    let rows = cluster.members.iter().map(|row| {
        let mut value = nodes::member_json(row);
        value["vitals"] = row.vitals.as_ref().map_or(Value::Null, vitals);
        value
    });
    json!({
        "cluster_name": cluster.cluster_name,
        "health": nodes::health(cluster).to_string(),
        "told_by": cluster.node_id,
        "leader": cluster.leader,
        "term": cluster.term,
        "revision": cluster.revision,
        "alarms": alarms.map(|it| json!({"kind": it.kind, "node": it.node_id})).collect::<Vec<_>>(),
        "requests_per_second": sample.requests_per_second,
        "request_p99_us": sample.request_p99_us,
        "nodes": rows.collect::<Vec<_>>(),
    })
}

fn vitals(vitals: &Vitals) -> Value {
    let timing = |timing: Option<Timing>| {
        timing.map(|it| json!({"count": it.count, "p50_us": it.p50_us, "p99_us": it.p99_us}))
    };
    let calls = vitals.calls.iter().map(|it| {
        json!({
            "call": it.call,
            "per_second": it.per_second,
            "failed_per_second": it.failed_per_second,
            "timing": timing(it.timing),
        })
    });
    json!({
        "window_ms": vitals.window_ms,
        "log_sync": timing(vitals.log_sync),
        "store_commit": timing(vitals.store_commit),
        "requests": timing(vitals.requests),
        "requests_per_second": vitals.requests_per_second,
        "calls": calls.collect::<Vec<_>>(),
        "resident_bytes": vitals.resident_bytes,
        "cpu_thousandths": vitals.cpu_thousandths,
        "open_files": vitals.open_files,
        "open_files_max": vitals.open_files_max,
        "watches": vitals.watches,
        "watch_waiting_bytes": vitals.watch_waiting_bytes,
        "leases": vitals.leases,
        "keys": vitals.keys,
        "engine_bytes": vitals.engine_bytes,
        "quota_bytes": vitals.quota_bytes,
        "log_bytes": vitals.log_bytes,
        "leader_changes": vitals.leader_changes,
        "problems": vitals.problems,
    })
}

#[cfg(test)]
#[path = "top_tests.rs"]
mod tests;
