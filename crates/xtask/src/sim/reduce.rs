//! Delta debugging (Zeller and Hildebrandt): the smallest part of a schedule that a seed still
//! fails with.
//!
//! Invariant: what is kept at the end was seen to fail.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::child::{Child, Choice};

/// Reduces the schedule of a failing seed and keeps what is left.
pub(super) fn run(child: &Child, choice: &Choice, folder: &Path) -> Result<()> {
    let name = format!("{}-{}", choice.scenario, choice.seed);
    let trial = folder.join(format!("{name}.trial"));
    let text = child.schedule(choice)?;
    let whole: Vec<&str> = text.lines().collect();
    let fails = |strikes: &[&str]| -> Result<bool> {
        fs::write(&trial, strikes.join("\n"))?;
        let verdict = child.run(choice, Some(&trial), None).verdict;
        Ok(verdict != "ok" && verdict != "invalid")
    };
    if !fails(&whole)? {
        bail!("seed {} of {} does not fail", choice.seed, choice.scenario);
    }
    let left = smallest(whole, &fails)?;
    let path = folder.join(format!("{name}.reduced"));
    fs::write(&path, left.join("\n"))?;
    fs::remove_file(&trial)?;
    for strike in &left {
        println!("{strike}");
    }
    println!("{} strikes are left: {}", left.len(), path.display());
    Ok(())
}

/// Leaves out pieces, smaller and smaller ones, as long as it still fails.
fn smallest<'s>(
    mut strikes: Vec<&'s str>,
    fails: &dyn Fn(&[&str]) -> Result<bool>,
) -> Result<Vec<&'s str>> {
    let mut pieces = 2;
    while !strikes.is_empty() {
        let size = strikes.len().div_ceil(pieces);
        let mut shorter = None;
        for start in (0..strikes.len()).step_by(size) {
            let end = (start + size).min(strikes.len());
            let rest = [&strikes[..start], &strikes[end..]].concat();
            if fails(&rest)? {
                shorter = Some(rest);
                break;
            }
        }
        match shorter {
            Some(rest) => {
                println!("sim: {} strikes are enough", rest.len());
                strikes = rest;
                pieces = pieces.saturating_sub(1).max(2);
            }
            None if size == 1 => return Ok(strikes),
            None => pieces = (2 * pieces).min(strikes.len()),
        }
    }
    Ok(strikes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_it_fails_with() {
        let text: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        let whole: Vec<&str> = text.iter().map(String::as_str).collect();
        let fails = |part: &[&str]| Ok(part.contains(&"7") && part.contains(&"41"));
        assert_eq!(smallest(whole, &fails).unwrap(), ["7", "41"]);
    }

    #[test]
    fn a_failure_that_needs_no_strike_leaves_none() {
        assert!(
            smallest(vec!["a", "b", "c"], &|_| Ok(true))
                .unwrap()
                .is_empty()
        );
    }
}
