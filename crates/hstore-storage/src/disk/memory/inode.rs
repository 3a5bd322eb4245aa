//! One file of the in-memory disk, sector by sector: what reads see, and what a crash may bring
//! back.
//!
//! Invariants:
//! 1. `sectors` holds what reads see; an absent sector is zeros.
//! 2. A sector is in `unsynced` exactly when it was written since the last sync; the first version
//!    there is the durable one, the others were written over before any sync.
//! 3. A sector is in `lost` when a failed sync dropped it: reads still see the written bytes, no
//!    later sync makes them durable, and a crash brings the durable version back.

use std::collections::BTreeMap;

use super::dice::Dice;

pub(super) const SECTOR_BYTES: u64 = 512;
/// Versions of one unsynced sector that a crash chooses from. When full, later overwritten
/// versions are not remembered; the durable and the newest one always are.
const VERSIONS_MAX: usize = 4;

type Sector = Box<[u8; SECTOR_BYTES as usize]>;

#[derive(Clone, Default)]
pub(super) struct Inode {
    len: u64,
    durable_len: u64,
    sectors: BTreeMap<u64, Sector>,
    unsynced: BTreeMap<u64, Vec<Option<Sector>>>,
    lost: BTreeMap<u64, Option<Sector>>,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let bytes = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < bytes {
            let (number, start, part) = piece(offset + done as u64, bytes - done);
            let target = &mut buffer[done..done + part];
            match self.sectors.get(&number) {
                Some(sector) => target.copy_from_slice(&sector[start..start + part]),
                None => target.fill(0),
            }
            done += part;
        }
        bytes
    }

    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        self.len = self.len.max(offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let (number, start, part) = piece(offset + done as u64, bytes.len() - done);
            self.change(number, |sector| {
                sector[start..start + part].copy_from_slice(&bytes[done..done + part]);
            });
            done += part;
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (boundary, start) = (len / SECTOR_BYTES, (len % SECTOR_BYTES) as usize);
            let beyond: Vec<u64> = self
                .sectors
                .range(boundary..)
                .map(|(&number, _)| number)
                .collect();
            for number in beyond {
                let from = if number == boundary { start } else { 0 };
                self.change(number, |sector| sector[from..].fill(0));
            }
        }
        self.len = len;
    }

    pub(super) fn sync(&mut self) {
        self.durable_len = self.len;
        self.unsynced.clear();
    }

    /// A failed sync, as kernels do it: the pages count as clean afterwards and are not written.
    pub(super) fn fail_sync(&mut self) {
        for (number, versions) in std::mem::take(&mut self.unsynced) {
            let durable = versions
                .into_iter()
                .next()
                .expect("invariant 2: the durable version");
            self.lost.insert(number, durable);
        }
    }

    /// Flips bits of a byte at rest, behind everyone's back.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        let (number, at, _) = piece(offset, 1);
        let sector = self.sectors.entry(number).or_insert_with(zeros);
        sector[at] ^= mask;
    }

    /// What is left of the file after power loss.
    pub(super) fn crash(&self, dice: &mut Dice) -> Inode {
        let mut sectors = self.sectors.clone();
        for (&number, durable) in &self.lost {
            put(&mut sectors, number, durable.clone());
        }
        // All, nothing, or any mixture of what was written: mixtures alone would hardly ever try
        // the two plain cases on a file of many sectors.
        let mode = dice.below(4);
        let keep_len = match mode {
            0 => false,
            1 => true,
            _ => dice.coin(),
        };
        for (&number, versions) in &self.unsynced {
            let newest = versions.len();
            let choice = match mode {
                0 => 0,
                1 => newest,
                _ => dice.below(newest + 1),
            };
            if choice < newest {
                put(&mut sectors, number, versions[choice].clone());
            }
        }
        let mut left = Inode {
            len: u64::MAX,
            sectors,
            ..Inode::default()
        };
        left.set_len(if keep_len { self.len } else { self.durable_len });
        left.lost.clear();
        left.sync();
        left
    }

    /// What is left when nothing that was not synced survives.
    pub(super) fn synced(&self) -> Inode {
        let mut sectors = self.sectors.clone();
        for (&number, versions) in &self.unsynced {
            put(&mut sectors, number, versions[0].clone());
        }
        for (&number, durable) in &self.lost {
            put(&mut sectors, number, durable.clone());
        }
        let mut left = Inode {
            len: u64::MAX,
            sectors,
            ..Inode::default()
        };
        left.set_len(self.durable_len);
        left.sync();
        left
    }

    fn change(&mut self, number: u64, edit: impl FnOnce(&mut Sector)) {
        let old = self.sectors.get(&number).cloned();
        let mut new = old.clone().unwrap_or_else(zeros);
        edit(&mut new);
        let new = new.iter().any(|&byte| byte != 0).then_some(new);
        if new.is_none() && old.is_none() && !self.unsynced.contains_key(&number) {
            return;
        }
        let lost = self.lost.remove(&number);
        let versions = self.unsynced.entry(number).or_default();
        if versions.is_empty() {
            versions.push(lost.unwrap_or(old));
        } else if versions.len() < VERSIONS_MAX {
            versions.push(old);
        }
        put(&mut self.sectors, number, new);
    }
}

/// The sector that holds an offset, where in it, and how many of the wanted bytes lie there.
fn piece(offset: u64, wanted: usize) -> (u64, usize, usize) {
    let start = (offset % SECTOR_BYTES) as usize;
    (
        offset / SECTOR_BYTES,
        start,
        wanted.min(SECTOR_BYTES as usize - start),
    )
}

fn put(sectors: &mut BTreeMap<u64, Sector>, number: u64, sector: Option<Sector>) {
    match sector {
        Some(sector) => sectors.insert(number, sector),
        None => sectors.remove(&number),
    };
}

fn zeros() -> Sector {
    Box::new([0; SECTOR_BYTES as usize])
}
