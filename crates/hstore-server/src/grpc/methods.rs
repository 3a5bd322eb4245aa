//! The methods that can be called, by their places in the table.

use std::sync::LazyLock;

use super::access::TABLE;
use super::described::DESCRIBED;

/// How many methods there are.
pub(crate) const METHODS: usize = TABLE.len();

/// A method that can be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// The full name of its service.
    pub(crate) service: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// How many messages go each way, in the word that gRPC's metrics have for it.
    pub(crate) kind: &'static str,
}

/// All of them, in the order of the table.
static ALL: LazyLock<Vec<Method>> = LazyLock::new(|| {
    let paths = TABLE.iter().map(|(path, _)| *path);
    paths.map(Method::at).collect()
});

/// All of them, in the order of the table.
pub(crate) fn methods() -> &'static [Method] {
    &ALL
}

/// Whether a call of the method lasts as long as its client likes.
pub(crate) fn is_stream(place: usize) -> bool {
    ALL[place].kind != UNARY
}

/// The word for one message each way.
pub(crate) const UNARY: &str = "unary";

impl Method {
    fn at(path: &'static str) -> Method {
        let whole = path.trim_start_matches('/');
        let (service, name) = whole.split_once('/').unwrap_or((whole, ""));
        let described = DESCRIBED.get_service_by_name(service);
        let described = described.and_then(|service| {
            let mut methods = service.methods();
            methods.find(|method| method.name() == name)
        });
        let streams =
            described.map(|method| (method.is_client_streaming(), method.is_server_streaming()));
        let kind = match streams {
            None | Some((false, false)) => UNARY,
            Some((true, false)) => "client_stream",
            Some((false, true)) => "server_stream",
            Some((true, true)) => "bidi_stream",
        };
        Method {
            service,
            name,
            kind,
        }
    }
}
