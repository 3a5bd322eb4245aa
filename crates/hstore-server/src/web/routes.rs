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
    /// A method of gRPC, by its place in the gateway.
    Gateway(usize),
    /// etcd's older word on whether the node is well.
    Health,
    /// Some checks, by name.
    Checks(&'static [Check]),
    /// What is counted.
    Metrics,
    /// Which version this is.
    Version,
}

/// All paths.
#[derive(Debug)]
pub(super) struct Routes {
    by_path: BTreeMap<String, Route>,
}

impl Routes {
    /// Every path that this version serves; those of the gateway in the order of their places.
    pub(super) fn new(gateway: &[&str]) -> Routes {
        let mut routes = Routes {
            by_path: BTreeMap::new(),
        };
        routes.read("/health", Page::Health);
        routes.read("/metrics", Page::Metrics);
        routes.read("/version", Page::Version);
        for (path, checks) in [("/livez", LIVE), ("/readyz", READY)] {
            routes.read(path, Page::Checks(checks));
            for (at, check) in checks.iter().enumerate() {
                let one = &checks[at..=at];
                routes.read(&format!("{path}/{}", check.name()), Page::Checks(one));
            }
        }
        for (place, path) in gateway.iter().enumerate() {
            routes.change(path, Page::Gateway(place));
        }
        routes
    }

    /// What is at a path.
    pub(super) fn at(&self, path: &str) -> Option<&Route> {
        self.by_path.get(path)
    }

    /// A page that is only looked at.
    fn read(&mut self, path: &str, page: Page) {
        self.add(path, Method::GET, false, page);
    }

    /// A page that may change something.
    fn change(&mut self, path: &str, page: Page) {
        self.add(path, Method::POST, true, page);
    }

    fn add(&mut self, path: &str, method: Method, has_effects: bool, page: Page) {
        let route = Route {
            method,
            has_effects,
            page,
        };
        let taken = self.by_path.insert(path.to_owned(), route);
        debug_assert!(taken.is_none(), "{path} is there twice");
    }
}
