//! Two sockets for a node: one for clients, one for peers. They are bound before anything is
//! announced, so whatever a node says of its ports is true.
//!
//! Invariants: (1) a port that was named is the port, or the start fails; (2) without a name the
//! usual pair is taken, or the next free pair; (3) an address that other machines can reach is
//! bound only with `--insecure`.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs as _, UdpSocket};

use hstore_client::local::RunningNode;
use hstore_core::error::ErrorCode;

use crate::fault::{Exit, Fault};
use crate::settings::{Endpoint, Settings};

/// The usual port for clients, etcd's; peers get the next one.
pub(crate) const CLIENT_PORT: u16 = 2379;

/// How many pairs of ports are tried, from the usual one on.
const PAIRS_MAX: u16 = 500;

const LOOPBACK: &str = "127.0.0.1";

/// The sockets of a node and how others are told of them.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Where clients connect.
    pub(crate) client: Port,
    /// Where peers connect.
    pub(crate) peer: Port,
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Port {
    /// It listens already.
    pub(crate) listener: TcpListener,
    /// Where it listens.
    pub(crate) bound: SocketAddr,
    /// What others are told, `host:port`.
    pub(crate) advertised: String,
}

/// Which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Peer,
}

impl Side {
    fn flag(self) -> &'static str {
        match self {
            Side::Client => "--listen",
            Side::Peer => "--peer-listen",
        }
    }
}

/// Says what is wrong with the addresses before anything is touched.
pub(crate) fn check(settings: &Settings) -> Result<(), Fault> {
    let (client, peer) = hosts(settings);
    resolve(client, Side::Client, settings)?;
    resolve(peer, Side::Peer, settings)?;
    Ok(())
}

/// The hosts of both sockets.
fn hosts(settings: &Settings) -> (&str, &str) {
    let client = settings
        .listen
        .as_ref()
        .map_or(LOOPBACK, |endpoint| &endpoint.host);
    let peer = settings
        .peer_listen
        .as_ref()
        .map_or(client, |endpoint| &endpoint.host);
    (client, peer)
}

/// Binds both sockets. `former` are the addresses of the last start, which are taken again when
/// nothing else was named and they are free; `neighbours` are the nodes of this machine, to say
/// who is in the way, and because what a stopped one had last is left to it.
pub(crate) fn bind(
    settings: &Settings,
    former: Option<(SocketAddr, SocketAddr)>,
    neighbours: &[RunningNode],
) -> Result<Ports, Fault> {
    let (client_host, peer_host) = hosts(settings);
    let client_ip = resolve(client_host, Side::Client, settings)?;
    let peer_ip = resolve(peer_host, Side::Peer, settings)?;
    let client_port = settings.listen.as_ref().and_then(|endpoint| endpoint.port);
    let peer_port = settings
        .peer_listen
        .as_ref()
        .and_then(|endpoint| endpoint.port);

    let former = former.filter(|former| former.0.ip() == client_ip && former.1.ip() == peer_ip);
    let (former_client, former_peer) = (
        former.map(|former| former.0.port()),
        former.map(|former| former.1.port()),
    );
    let kept = kept(neighbours);
    let named = |side, ip, port, former: Option<u16>| {
        // Port 0 is any free one, and the former one is as good as any.
        let again = former
            .filter(|_| port == 0)
            .map(|former| listen(ip, former));
        let socket = again
            .and_then(Result::ok)
            .map_or_else(|| listen(ip, port), Ok);
        socket.map_err(|error| taken(side, ip, port, &error, neighbours))
    };
    let (client, peer) = match (client_port, peer_port) {
        (Some(client), Some(peer)) => (
            named(Side::Client, client_ip, client, former_client)?,
            named(Side::Peer, peer_ip, peer, former_peer)?,
        ),
        (Some(client), None) => {
            let client = named(Side::Client, client_ip, client, former_client)?;
            let next = local(&client)?.port().saturating_add(1);
            let peer = scan(peer_ip, former_peer, next, &kept, Side::Peer)?;
            (client, peer)
        }
        (None, Some(peer)) => {
            let peer = named(Side::Peer, peer_ip, peer, former_peer)?;
            let client = scan(client_ip, former_client, CLIENT_PORT, &kept, Side::Client)?;
            (client, peer)
        }
        (None, None) => pair(client_ip, peer_ip, former_client.zip(former_peer), &kept)?,
    };
    Ok(Ports {
        client: Port::of(client, client_host, settings)?,
        peer: Port::of(peer, peer_host, settings)?,
    })
}

impl Port {
    fn of(listener: TcpListener, host: &str, settings: &Settings) -> Result<Port, Fault> {
        let bound = local(&listener)?;
        let told = match &settings.advertise {
            Some(told) => told.clone(),
            None if !bound.ip().is_unspecified() => match host.parse::<IpAddr>() {
                Ok(ip) => ip.to_string(),
                Err(_name) if bound.ip().is_loopback() => bound.ip().to_string(),
                Err(_name) => host.to_owned(),
            },
            None => outward(bound.ip(), settings)
                .ok_or_else(|| {
                    Fault::new(
                        ErrorCode::InvalidConfig,
                        format!("{bound} is every address of this machine, and none that others could use was found"),
                    )
                    .hint("say which one others should use: --advertise HOST")
                })?
                .to_string(),
        };
        let advertised = Endpoint {
            host: told,
            port: Some(bound.port()),
        };
        Ok(Port {
            listener,
            bound,
            advertised: advertised.to_string(),
        })
    }
}

/// The first address of a host, if it may be bound.
fn resolve(host: &str, side: Side, settings: &Settings) -> Result<IpAddr, Fault> {
    let unknown = |reason: String| {
        Fault::new(
            ErrorCode::InvalidConfig,
            format!(
                "{} {host} is no address of this machine: {reason}",
                side.flag()
            ),
        )
    };
    let addresses = (host, 0)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?;
    let mut ips: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    // One name often stands for both families (localhost); IPv4 is what everyone can reach.
    ips.sort_by_key(IpAddr::is_ipv6);
    let ip = *ips
        .first()
        .ok_or_else(|| unknown("it has none".to_owned()))?;
    if ip.is_loopback() || settings.insecure {
        return Ok(ip);
    }
    Err(Fault::new(
        ErrorCode::InvalidConfig,
        format!(
            "{} {host} lets other machines connect, and there is no encryption and no password yet: \
             whoever reaches the port could read and change everything",
            side.flag()
        ),
    )
    .hint("in a network that you trust, say so with --insecure; on this machine alone, use 127.0.0.1"))
}

fn listen(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::new(ip, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Fault> {
    listener.local_addr().map_err(|error| {
        Fault::new(
            ErrorCode::Internal,
            format!("a socket does not know its address: {error}"),
        )
    })
}

/// The ports that stopped nodes of this machine had last: they come back to them.
fn kept(neighbours: &[RunningNode]) -> BTreeSet<u16> {
    let stopped = neighbours.iter().filter(|node| !node.is_alive());
    stopped
        .flat_map(|node| [&node.client_address, &node.peer_address])
        .filter_map(|address| address.rsplit_once(':')?.1.parse().ok())
        .collect()
}

/// The former pair, the usual pair, or the next pair that is free.
fn pair(
    client_ip: IpAddr,
    peer_ip: IpAddr,
    former: Option<(u16, u16)>,
    kept: &BTreeSet<u16>,
) -> Result<(TcpListener, TcpListener), Fault> {
    let usual = (0..PAIRS_MAX)
        .map(|index| (CLIENT_PORT + 2 * index, CLIENT_PORT + 2 * index + 1))
        .filter(|(client, peer)| !kept.contains(client) && !kept.contains(peer));
    let mut last = None;
    for (client, peer) in former.into_iter().chain(usual) {
        match listen(client_ip, client).and_then(|client| Ok((client, listen(peer_ip, peer)?))) {
            Ok(both) => return Ok(both),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            Err(error) => return Err(cannot(client_ip, client, &error)),
        }
    }
    Err(none_free(client_ip, last))
}

/// The wanted port, or the next free one from `from` on.
fn scan(
    ip: IpAddr,
    wanted: Option<u16>,
    from: u16,
    kept: &BTreeSet<u16>,
    side: Side,
) -> Result<TcpListener, Fault> {
    let next = (0..PAIRS_MAX)
        .filter_map(|step| from.checked_add(step))
        .filter(|port| !kept.contains(port));
    let mut last = None;
    for port in wanted.into_iter().chain(next) {
        match listen(ip, port) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
            Err(error) => return Err(cannot(ip, port, &error)),
        }
    }
    Err(none_free(ip, last).hint(format!("name a port with {} {ip}:PORT", side.flag())))
}

/// The address of this machine on the way to a seed, or to anywhere. Nothing is sent.
fn outward(bound: IpAddr, settings: &Settings) -> Option<IpAddr> {
    let any = if bound.is_ipv4() {
        "192.0.2.1"
    } else {
        "2001:db8::1"
    };
    let seeds = settings
        .seeds
        .iter()
        .filter_map(|seed| Endpoint::parse(seed));
    let hosts: Vec<String> = seeds
        .map(|seed| seed.host)
        .chain([any.to_owned()])
        .collect();
    hosts.iter().find_map(|host| {
        let socket = UdpSocket::bind(SocketAddr::new(bound, 0)).ok()?;
        socket.connect((host.as_str(), CLIENT_PORT)).ok()?;
        let ip = socket.local_addr().ok()?.ip();
        (!ip.is_unspecified()).then_some(ip)
    })
}

fn taken(
    side: Side,
    ip: IpAddr,
    port: u16,
    error: &io::Error,
    neighbours: &[RunningNode],
) -> Fault {
    if error.kind() != io::ErrorKind::AddrInUse {
        return cannot(ip, port, error);
    }
    let address = SocketAddr::new(ip, port);
    let same_port = |told: &str| {
        told.rsplit_once(':')
            .is_some_and(|(_, p)| p == port.to_string())
    };
    let holder = neighbours
        .iter()
        .filter(|node| node.is_alive())
        .find(|node| same_port(&node.client_address) || same_port(&node.peer_address));
    let sentence = match holder {
        Some(node) => format!(
            "{} {address} is in use by hstore node {} of cluster {} (process {})",
            side.flag(),
            node.name,
            node.cluster_name,
            node.pid
        ),
        None => format!("{} {address} is in use by another program", side.flag()),
    };
    Fault::new(ErrorCode::PortInUse, sentence).hint(format!(
        "leave {} away and a free port is picked",
        side.flag()
    ))
}

fn cannot(ip: IpAddr, port: u16, error: &io::Error) -> Fault {
    let address = SocketAddr::new(ip, port);
    let fault = |code| Fault::new(code, format!("cannot listen on {address}: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => fault(ErrorCode::InvalidConfig)
            .exit(Exit::Permission)
            .hint("ports below 1024 need special rights; take a higher one"),
        io::ErrorKind::AddrNotAvailable => {
            fault(ErrorCode::InvalidConfig).hint("the address is none of this machine")
        }
        _ => fault(ErrorCode::Internal),
    }
}

fn none_free(ip: IpAddr, last: Option<io::Error>) -> Fault {
    let reason = last.map_or_else(String::new, |error| format!(": {error}"));
    Fault::new(
        ErrorCode::PortInUse,
        format!("no free port on {ip} from {CLIENT_PORT} on{reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Layer, Sources};

    fn settings(text: &str) -> Settings {
        let origin = crate::settings::Origin::Flag;
        let flags = Layer::of_toml(text, std::path::Path::new("x"), &origin).unwrap();
        let sources = Sources {
            flags,
            ..Sources::default()
        };
        sources.settings().unwrap()
    }

    #[test]
    fn two_nodes_that_name_nothing_get_two_pairs() {
        let free = settings("");
        let one = bind(&free, None, &[]).unwrap();
        let two = bind(&free, None, &[]).unwrap();
        let mut ports = vec![
            one.client.bound,
            one.peer.bound,
            two.client.bound,
            two.peer.bound,
        ];
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), 4);
        assert_eq!(one.client.advertised, one.client.bound.to_string());
        assert_eq!(one.client.bound.port() + 1, one.peer.bound.port());
    }

    #[test]
    fn the_former_pair_is_taken_again_when_it_is_free() {
        let free = settings("");
        let zero = settings("listen = \"127.0.0.1:0\"\npeer-listen = \"127.0.0.1:0\"");
        let one = bind(&zero, None, &[]).unwrap();
        let former = (one.client.bound, one.peer.bound);
        let moved = bind(&free, Some(former), &[]).unwrap();
        assert_ne!(moved.client.bound, former.0);
        drop(one);
        let again = bind(&free, Some(former), &[]).unwrap();
        assert_eq!((again.client.bound, again.peer.bound), former);
    }

    #[test]
    fn the_ports_of_a_stopped_node_are_left_to_it() {
        let free = settings("");
        let one = bind(&free, None, &[]).unwrap();
        let stopped = RunningNode {
            client_address: one.client.advertised.clone(),
            peer_address: one.peer.advertised.clone(),
            pid: u32::MAX,
            ..RunningNode::default()
        };
        let former = (one.client.bound, one.peer.bound);
        drop(one);
        let two = bind(&free, None, std::slice::from_ref(&stopped)).unwrap();
        assert_ne!(two.client.bound, former.0);
        let back = bind(&free, Some(former), &[stopped]).unwrap();
        assert_eq!(back.client.bound, former.0);
    }

    #[test]
    fn any_free_port_is_the_former_one_when_that_is_free() {
        let zero = settings("listen = \"127.0.0.1:0\"\npeer-listen = \"127.0.0.1:0\"");
        let one = bind(&zero, None, &[]).unwrap();
        let former = (one.client.bound, one.peer.bound);
        drop(one);
        let again = bind(&zero, Some(former), &[]).unwrap();
        assert_eq!((again.client.bound, again.peer.bound), former);
        let other = bind(&zero, Some(former), &[]).unwrap();
        assert_ne!(other.client.bound, former.0);
    }

    #[test]
    fn a_named_port_that_is_taken_is_refused_with_who_has_it() {
        let zero = settings("listen = \"127.0.0.1:0\"");
        let one = bind(&zero, None, &[]).unwrap();
        let named = settings(&format!("listen = \"{}\"", one.client.bound));
        let fault = bind(&named, None, &[]).unwrap_err();
        assert_eq!(fault.code, ErrorCode::PortInUse);
        assert!(fault.sentence().contains("another program"), "{fault}");
        let holder = RunningNode {
            name: "n9".to_owned(),
            pid: std::process::id(),
            client_address: one.client.advertised.clone(),
            ..RunningNode::default()
        };
        let fault = bind(&named, None, &[holder]).unwrap_err();
        assert!(fault.sentence().contains("hstore node n9"), "{fault}");
    }

    #[test]
    fn other_machines_are_let_in_only_with_insecure() {
        for host in ["0.0.0.0:0", "[::]:0"] {
            let fault = bind(&settings(&format!("listen = \"{host}\"")), None, &[]).unwrap_err();
            assert_eq!(fault.code, ErrorCode::InvalidConfig);
            assert!(fault.sentence().contains("no encryption"), "{fault}");
        }
        let peer = settings("listen = \"127.0.0.1:0\"\npeer-listen = \"0.0.0.0:0\"");
        assert!(
            bind(&peer, None, &[]).is_err(),
            "the peer port is a door too"
        );
        let open = settings("listen = \"0.0.0.0:0\"\ninsecure = true\nadvertise = \"node1\"");
        let ports = bind(&open, None, &[]).unwrap();
        let told = format!("node1:{}", ports.client.bound.port());
        assert_eq!(ports.client.advertised, told);
        let peer = format!("node1:{}", ports.peer.bound.port());
        assert_eq!(ports.peer.advertised, peer);
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused() {
        let foreign = settings("listen = \"192.0.2.77:0\"\ninsecure = true");
        let fault = bind(&foreign, None, &[]).unwrap_err();
        assert_eq!(fault.code, ErrorCode::InvalidConfig);
        let unknown = settings("listen = \"no-such-host.invalid:0\"");
        assert_eq!(
            bind(&unknown, None, &[]).unwrap_err().code,
            ErrorCode::InvalidConfig
        );
    }
}
