//! `doctor`: looks at every node and says what is wrong, why, and what helps.

mod facts;
mod finding;
mod folder;
mod gather;
mod judge;
mod machine;

pub(crate) use facts::{Examined, Facts, NodeFacts, middle};
pub(crate) use finding::{Finding, Severity};

use crate::args::Doctor;
use crate::failure::{Exit, Failure};
use crate::render::{self, Data};
use crate::run::Context;

/// What was seen, and what it means.
#[derive(Clone, Debug)]
pub(crate) struct Diagnosis {
    /// What was seen.
    pub(crate) facts: Facts,
    /// What is wrong, the worst first.
    pub(crate) findings: Vec<Finding>,
}

impl Diagnosis {
    /// The worst of all findings.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

pub(super) async fn run(context: &Context, args: &Doctor) -> Result<Data, Failure> {
    let folder = match &args.disk {
        Some(path) => Some(folder::measure(path).await?),
        None => None,
    };
    let mut facts = gather::gather(context).await?;
    facts.folder = folder;
    let findings = judge::judge(&facts);
    let diagnosis = Diagnosis { facts, findings };
    let exit = diagnosis.worst().map_or(Exit::Ok, Severity::exit);
    let data = Data::Diagnosis(Box::new(diagnosis));
    if exit == Exit::Ok {
        return Ok(data);
    }
    render::now(context.view, &data)?;
    Err(Failure::Diagnosed(exit))
}
