//! The keys, read on a thread of its own: reading a terminal blocks.
//!
//! Invariant: the thread has ended when `end` returns, so that it takes no key of whoever reads the
//! terminal next.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::picture::Wish;

/// How long the thread waits for a key before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Keys that wait; the thread waits when so many do.
const KEYS_MAX: usize = 16;

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Redraw,
    Wish(Wish),
}

/// The keys of the terminal.
pub(super) struct Keys {
    pressed: mpsc::Receiver<Key>,
    unwanted: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Keys {
    pub(super) fn listen() -> io::Result<Keys> {
        let (sender, pressed) = mpsc::channel(KEYS_MAX);
        let unwanted = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&unwanted);
        let thread = std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || read(&sender, &ends))?;
        Ok(Keys {
            pressed,
            unwanted,
            thread,
        })
    }

    /// The next key; none when the terminal is gone. Cancel safe: a key that came is kept.
    pub(super) async fn next(&mut self) -> Option<Key> {
        self.pressed.recv().await
    }

    pub(super) fn end(self) {
        self.unwanted.store(true, Ordering::Relaxed);
        drop(self.pressed);
        // It panics nowhere; and if it did, there is nothing left to do about it.
        let _ended = self.thread.join();
    }
}

fn read(sender: &mpsc::Sender<Key>, unwanted: &AtomicBool) {
    while !unwanted.load(Ordering::Relaxed) {
        let key = match event::poll(LOOK) {
            Ok(false) => continue,
            Ok(true) => match event::read() {
                Ok(event) => key(&event),
                Err(_gone) => return,
            },
            Err(_gone) => return,
        };
        if let Some(key) = key
            && sender.blocking_send(key).is_err()
        {
            return;
        }
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press | KeyEventKind::Repeat,
        ..
    }) = event
    else {
        return matches!(event, Event::Resize(..)).then_some(Key::Redraw);
    };
    let with_control = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        KeyCode::Char('c' | 'd') if with_control => Key::Quit,
        KeyCode::Char('l') if with_control => Key::Redraw,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Up | KeyCode::Char('k') => Key::Wish(Wish::Up),
        KeyCode::Down | KeyCode::Char('j') => Key::Wish(Wish::Down),
        KeyCode::Right | KeyCode::Char('s' | 'l') => Key::Wish(Wish::SortNext),
        KeyCode::Left | KeyCode::Char('h') => Key::Wish(Wish::SortPrevious),
        KeyCode::Char('r') => Key::Wish(Wish::Reverse),
        KeyCode::Char('?') | KeyCode::F(1) => Key::Wish(Wish::Help),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_the_help_says() {
        let pressed = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        for (code, modifiers, expected) in [
            (KeyCode::Char('q'), KeyModifiers::NONE, Some(Key::Quit)),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Quit)),
            (KeyCode::Char('c'), KeyModifiers::NONE, None),
            (KeyCode::Up, KeyModifiers::NONE, Some(Key::Wish(Wish::Up))),
            (
                KeyCode::Left,
                KeyModifiers::NONE,
                Some(Key::Wish(Wish::SortPrevious)),
            ),
            (
                KeyCode::Char('r'),
                KeyModifiers::NONE,
                Some(Key::Wish(Wish::Reverse)),
            ),
            (
                KeyCode::Char('?'),
                KeyModifiers::SHIFT,
                Some(Key::Wish(Wish::Help)),
            ),
        ] {
            assert_eq!(pressed(code, modifiers), expected, "{code:?}");
        }
        assert_eq!(key(&Event::Resize(80, 24)), Some(Key::Redraw));
    }
}
