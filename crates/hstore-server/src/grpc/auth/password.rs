//! Passwords: hashed where they arrive, two at a time, on threads that may be busy for long.
//!
//! Invariants: (1) a password in plain text is wiped from memory when it was hashed, and is in no
//! log, no error and no message to another node; (2) checking a password takes as long for a user
//! who is not there; (3) what waits is bounded in number and in time; (4) the memory of one hashing
//! serves the next, so that there is never more of it than is in use at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hstore_core::auth::PasswordHash;
use hstore_core::error::ErrorCode;
use hstore_proto::status;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use zeroize::Zeroizing;

/// How many passwords are hashed at a time: each takes 19 MiB and a core.
const HASHING_MAX: usize = 2;

/// How many may wait for that; one more is refused as overloaded.
const WAITING_MAX: usize = 64;

/// What argon2id costs: the least that OWASP recommends (Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// No hash that was written down may make us spend more than this.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 4;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes passwords.
#[derive(Clone)]
pub(super) struct Passwords {
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Memory that no hashing uses now, at most `HASHING_MAX` of it. Given back to the allocator it
    /// would stay with each of the threads that once hashed.
    spare: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords {
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            spare: Arc::default(),
        }
    }
}

impl Passwords {
    /// The hash of a new password.
    pub(super) async fn hash(
        &self,
        password: Zeroizing<String>,
        deadline: Instant,
    ) -> Result<PasswordHash, Status> {
        let salt: [u8; SALT_BYTES] = rand::random();
        let job = move |memory: &mut _| Phc::of(&password, &salt, memory).map(|phc| phc.write());
        match self.run(job, deadline).await? {
            Some(text) => Ok(PasswordHash::new(&text)),
            None => Err(status::failure(
                ErrorCode::InvalidArgument,
                "the password cannot be hashed",
            )),
        }
    }

    /// Whether a password is the one that was hashed. Without a hash it is not, which takes as long.
    pub(super) async fn is_right(
        &self,
        password: Zeroizing<String>,
        hash: Option<PasswordHash>,
        deadline: Instant,
    ) -> Result<bool, Status> {
        let job = move |memory: &mut _| {
            let known = hash.as_ref().and_then(|hash| Phc::read(hash.as_str()));
            if let Some(phc) = known {
                return phc.is_of(&password, memory);
            }
            let _spent = Phc::of(&password, &[0; SALT_BYTES], memory);
            false
        };
        self.run(job, deadline).await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
        deadline: Instant,
    ) -> Result<T, Status> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Err(busy("as many passwords as may wait to be hashed already"));
        };
        let turn = timeout_at(deadline, Arc::clone(&self.hashing).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(busy(
                "other passwords were hashed until the deadline passed",
            ));
        };
        let spare = Arc::clone(&self.spare);
        let hashing = tokio::task::spawn_blocking(move || {
            let taken = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut memory = taken.unwrap_or_default();
            let done = job(&mut memory);
            // A hash that was made elsewhere may have asked for more, which is not kept.
            if memory.len() <= MEMORY_KIB as usize {
                let mut spare = spare.lock().unwrap_or_else(PoisonError::into_inner);
                spare.push(memory);
            }
            drop(turn);
            done
        });
        match timeout_at(deadline, hashing).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_ended)) => Err(status::failure(ErrorCode::ShuttingDown, "the node stops")),
            Err(_elapsed) => Err(busy("hashing took longer than the deadline")),
        }
    }
}

fn busy(what: &str) -> Status {
    status::failure(ErrorCode::Overloaded, what)
}

/// A hash with all that checking a password against it needs, in the form of the PHC string format.
struct Phc {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Phc {
    fn of(password: &str, salt: &[u8], memory: &mut Vec<Block>) -> Option<Phc> {
        let mut phc = Phc {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: salt.to_vec(),
            hash: vec![0; HASH_BYTES],
        };
        phc.hash = phc.compute(password, memory)?;
        Some(phc)
    }

    /// None for a password of more than 4 GiB and the like.
    fn compute(&self, password: &str, memory: &mut Vec<Block>) -> Option<Vec<u8>> {
        let len = self.hash.len();
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(len)).ok()?;
        let blocks = params.block_count();
        memory.resize(memory.len().max(blocks), Block::default());
        let memory = &mut memory[..blocks];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hash = vec![0; len];
        let (password, salt) = (password.as_bytes(), &self.salt);
        let hashed = argon2.hash_password_into_with_memory(password, salt, &mut hash, memory);
        hashed.ok().map(|()| hash)
    }

    /// Compares in the same time whatever is different.
    fn is_of(&self, password: &str, memory: &mut Vec<Block>) -> bool {
        let Some(computed) = self.compute(password, memory) else {
            return false;
        };
        let pairs = computed.iter().zip(&self.hash);
        pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }

    fn write(&self) -> String {
        let Phc {
            memory_kib,
            passes,
            lanes,
            ..
        } = self;
        let salt = STANDARD_NO_PAD.encode(&self.salt);
        let hash = STANDARD_NO_PAD.encode(&self.hash);
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }

    fn read(text: &str) -> Option<Phc> {
        let rest = text.strip_prefix("$argon2id$v=19$m=")?;
        let (memory_kib, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let mut parts = rest.split('$');
        let mut next = || parts.next();
        let (lanes, salt, hash) = (next()?, next()?, next()?);
        let number = |text: &str, max: u32| text.parse().ok().filter(|number| *number <= max);
        let phc = Phc {
            memory_kib: number(memory_kib, MEMORY_KIB_MAX)?,
            passes: number(passes, PASSES_MAX)?,
            lanes: number(lanes, LANES_MAX)?,
            salt: STANDARD_NO_PAD.decode(salt).ok()?,
            hash: STANDARD_NO_PAD.decode(hash).ok()?,
        };
        (parts.next().is_none() && phc.hash.len() == HASH_BYTES).then_some(phc)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plain(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let passwords = Passwords::default();
        let hash = passwords.hash(plain("secret"), soon()).await.unwrap();
        let text = hash.as_str().to_owned();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        let again = passwords.hash(plain("secret"), soon()).await.unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
        for (password, right) in [("secret", true), ("Secret", false), ("", false)] {
            let told = passwords
                .is_right(plain(password), Some(hash.clone()), soon())
                .await;
            assert_eq!(told.unwrap(), right, "{password}");
        }
        let nobody = passwords.is_right(plain("secret"), None, soon()).await;
        assert!(!nobody.unwrap());
        let spare = passwords.spare.lock().unwrap();
        assert_eq!(spare.len(), 1, "one after the other took the same memory");
    }

    #[test]
    fn a_hash_of_another_program_is_understood() {
        // `argon2 somesalt -id -t 2 -k 64 -p 1 -l 32` of "password".
        let phc = Phc {
            memory_kib: 64,
            passes: 2,
            lanes: 1,
            salt: b"somesalt".to_vec(),
            hash: vec![0; HASH_BYTES],
        };
        let mut memory = Vec::new();
        let hash = phc.compute("password", &mut memory).unwrap();
        let written = Phc { hash, ..phc }.write();
        // What another hashing left behind, and more of it than is needed, changes nothing.
        Phc::of("other", b"somesalt", &mut memory).unwrap();
        let read = Phc::read(&written).unwrap();
        assert!(read.is_of("password", &mut memory));
        assert!(!read.is_of("passwore", &mut memory));
    }

    #[test]
    fn what_is_no_hash_of_ours_or_costs_too_much_is_not_read() {
        let hash = STANDARD_NO_PAD.encode([7; HASH_BYTES]);
        let good = format!("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ${hash}");
        assert!(Phc::read(&good).is_some());
        let bad = [
            String::new(),
            "$2a$10$abcdefghijklmnopqrstuv".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("m=64", "m=999999999"),
            good.replace("t=2", "t=99"),
            good.replace("p=1", "p=99"),
            good.replace("t=2", "t=-2"),
            format!("{good}$more"),
            good[..good.len() - 4].to_owned(),
        ];
        for text in bad {
            assert!(Phc::read(&text).is_none(), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_turn_until_the_deadline_is_refused() {
        let passwords = Passwords::default();
        let _all = passwords
            .hashing
            .acquire_many(HASHING_MAX as u32)
            .await
            .unwrap();
        let refused = passwords.hash(plain("x"), soon()).await.unwrap_err();
        assert_eq!(status::read(&refused).code, ErrorCode::Overloaded);
        let _none = passwords
            .waiting
            .acquire_many(WAITING_MAX as u32)
            .await
            .unwrap();
        let refused = passwords.hash(plain("x"), soon()).await.unwrap_err();
        assert_eq!(status::read(&refused).code, ErrorCode::Overloaded);
    }
}
