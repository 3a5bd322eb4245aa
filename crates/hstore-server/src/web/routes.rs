//! Which page is at which path.

use std::collections::BTreeMap;

use hyper::Method;

use super::health::{Check, LIVE, READY};

/// What is at a path.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The method that it takes; `HEAD` goes with `GET`.
    pub(super) method: Method,
    /// Whether asking changes anything.
    pub(super) has_effects: bool,
    /// What answers.
    pub(super) page: Page,
}

/// What answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Page {
    /// etcd's older word on whether the node is well.
    Health,
    /// Some checks, by name.
    Checks(&'static [Check]),
    /// Which version this is.
    Version,
}

/// All paths.
#[derive(Debug)]
pub(super) struct Routes {
    by_path: BTreeMap<String, Route>,
}

impl Routes {
    /// Every path that this version serves.
    pub(super) fn new() -> Routes {
        let mut routes = Routes {
            by_path: BTreeMap::new(),
        };
        routes.read("/health", Page::Health);
        routes.read("/version", Page::Version);
        for (path, checks) in [("/livez", LIVE), ("/readyz", READY)] {
            routes.read(path, Page::Checks(checks));
            for (at, check) in checks.iter().enumerate() {
                let one = &checks[at..=at];
                routes.read(&format!("{path}/{}", check.name()), Page::Checks(one));
            }
        }
        routes
    }

    /// What is at a path.
    pub(super) fn at(&self, path: &str) -> Option<&Route> {
        self.by_path.get(path)
    }

    /// A page that is only looked at.
    fn read(&mut self, path: &str, page: Page) {
        let route = Route {
            method: Method::GET,
            has_effects: false,
            page,
        };
        let taken = self.by_path.insert(path.to_owned(), route);
        debug_assert!(taken.is_none(), "{path} is there twice");
    }
}
