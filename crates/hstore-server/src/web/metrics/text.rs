//! The text format of Prometheus.

use std::fmt::{Display, Write as _};

use crate::meter::Snapshot;

/// What a family of numbers is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many took how long.
    Histogram,
}

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Text {
    text: String,
}

/// Names and values. No value holds what would need an escape: all are names of ours, or numbers.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// Nothing yet.
    pub(super) fn new() -> Text {
        Text {
            text: String::with_capacity(64 * 1024),
        }
    }

    /// The page.
    pub(super) fn into_string(self) -> String {
        self.text
    }

    /// A family begins.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// One number of the family.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.text.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            write!(self.text, "{before}{label}=\"{value}\"").expect(FITS);
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// A family of one number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help);
        self.sample(name, &[], value);
    }

    /// A family of one number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }

    /// One histogram of the family.
    pub(super) fn histogram(&mut self, name: &str, labels: Labels<'_>, took: &Snapshot) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in &took.buckets {
            let bound = bound.to_string();
            self.sample(
                &bucket,
                &[labels, &[("le", bound.as_str())]].concat(),
                count,
            );
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), took.count);
        self.sample(&format!("{name}_sum"), labels, took.sum);
        self.sample(&format!("{name}_count"), labels, took.count);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect(FITS);
    }
}

const FITS: &str = "a string takes every write";
