//! Knocking at etcd's doors before anything is read: do both sides speak the same way, and does each
//! believe the other.
//!
//! gRPC's connections are made again and again until they hold, and say little of why they did not.
//! What no patience mends is found here, by one connection of our own to each place. Invariants: (1)
//! only what is certain is a refusal; a place that does not answer may be back in a moment; (2) what is
//! sent is the beginning of any HTTP/2 connection, and no request.

use std::io;
use std::time::Duration;

use futures::future::join_all;
use hstore_core::error::ErrorCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::place::Place;
use super::tls::{ALPN, Tls, believing_nobody};
use crate::fault::Fault;

/// How long a place may take to show how it speaks.
const SHOW_MAX: Duration = Duration::from_secs(5);
/// How every connection of HTTP/2 begins: the preface and settings without a word.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The head of a frame of HTTP/2, and the kind that a server begins with.
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
/// How a record of TLS begins with which a server complains.
const ALERT: [u8; 2] = [21, 3];

/// Knocks at all of them at once.
pub(super) async fn knock(places: &[Place], tls: Option<&Tls>) -> Result<(), Fault> {
    let knocks = places.iter().map(|place| async move {
        let shown = match tls.filter(|_| place.is_encrypted) {
            Some(tls) => timeout(SHOW_MAX, encrypted(place, tls)).await,
            None => timeout(SHOW_MAX, plain(place)).await,
        };
        shown.unwrap_or(Ok(()))
    });
    join_all(knocks).await.into_iter().collect()
}

async fn connect(place: &Place) -> io::Result<TcpStream> {
    TcpStream::connect((place.address.host(), place.address.port())).await
}

/// What a place says to a greeting that is not encrypted.
async fn plain(place: &Place) -> Result<(), Fault> {
    let Ok(mut stream) = connect(place).await else {
        return Ok(());
    };
    let head = greeted(&mut stream).await.unwrap_or_default();
    // An etcd that expects TLS ends without a word, and so does one that is going.
    let is_unclear = head.is_empty() || head.starts_with(&ALERT);
    if !is_unclear || !speaks_tls(place).await {
        return Ok(());
    }
    let address = &place.address;
    Err(failed(place, "it speaks TLS only").hint(format!(
        "https://{address}, and --cacert FILE: the authority that signed its certificate"
    )))
}

/// Whether a place shakes hands, believed or not.
async fn speaks_tls(place: &Place) -> bool {
    let name = ServerName::try_from(place.address.host().to_owned());
    let (Ok(name), Ok(config), Ok(stream)) = (name, believing_nobody(), connect(place).await)
    else {
        return false;
    };
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(_believed) => true,
        Err(error) => {
            let inner = error.get_ref();
            let why = inner.and_then(|error| error.downcast_ref::<TlsError>());
            matches!(
                why,
                Some(TlsError::InvalidCertificate(_) | TlsError::AlertReceived(_))
            )
        }
    }
}

/// Shakes hands with a place, and greets it.
async fn encrypted(place: &Place, tls: &Tls) -> Result<(), Fault> {
    let Ok(name) = ServerName::try_from(place.address.host().to_owned()) else {
        return Err(failed(place, "no certificate can be for such a name"));
    };
    let Ok(stream) = connect(place).await else {
        return Ok(());
    };
    let connector = TlsConnector::from(tls.config.clone());
    let mut stream = match connector.connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) => return refused(place, tls, &error).await,
    };
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(failed(place, "it does not speak HTTP/2, so it is no etcd"));
    }
    // With TLS 1.3 a server looks at our certificate after we think that all is well.
    match greeted(&mut stream).await {
        Ok(_) => Ok(()),
        Err(error) => refused(place, tls, &error).await,
    }
}

/// The first bytes that come back; fewer than asked for when the other side ends.
async fn greeted(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Vec<u8>> {
    stream.write_all(GREETING).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(FRAME_HEAD);
    stream
        .take(FRAME_HEAD as u64)
        .read_to_end(&mut head)
        .await?;
    Ok(head)
}

/// Why a handshake came to nothing, where that is certain.
async fn refused(place: &Place, tls: &Tls, error: &io::Error) -> Result<(), Fault> {
    let inner = error.get_ref();
    let Some(why) = inner.and_then(|error| error.downcast_ref::<TlsError>()) else {
        // It ended without a word: so does an etcd that expects HTTP/2 at once.
        return if is_plain(place).await {
            Err(speaks_plainly(place))
        } else {
            Ok(())
        };
    };
    Err(match why {
        TlsError::InvalidMessage(_) => speaks_plainly(place),
        TlsError::InvalidCertificate(why) => not_believed(place, tls, why),
        TlsError::AlertReceived(alert) => does_not_believe(place, tls, *alert),
        why => failed(place, format!("no TLS comes about: {why}")),
    })
}

/// Whether a place answers in HTTP/2 without TLS.
async fn is_plain(place: &Place) -> bool {
    let Ok(mut stream) = connect(place).await else {
        return false;
    };
    let head = greeted(&mut stream).await.unwrap_or_default();
    head.get(3) == Some(&SETTINGS)
}

fn failed(place: &Place, why: impl std::fmt::Display) -> Fault {
    Fault::new(ErrorCode::TlsFailed, format!("etcd at {place}: {why}"))
}

fn speaks_plainly(place: &Place) -> Fault {
    failed(place, "it does not speak TLS").hint(format!("http://{}", place.address))
}

fn not_believed(place: &Place, tls: &Tls, why: &CertificateError) -> Fault {
    match why {
        CertificateError::UnknownIssuer => failed(
            place,
            format!("its certificate is not signed by {}", tls.authority()),
        )
        .hint("--cacert FILE   the authority that signed etcd's certificate"),
        CertificateError::NotValidForName => failed(place, "its certificate is for another name"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = names.join(", ");
            let host = place.address.host();
            failed(
                place,
                format!("its certificate is not for {host}, but for {names}"),
            )
            .hint("name etcd in a way that its certificate has, or give etcd another certificate")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            failed(place, "its certificate has expired")
                .hint("renew it, and look at the clock of this machine")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            failed(place, "its certificate is not valid yet")
                .hint("look at the clock of this machine")
        }
        // The library has no word of its own for this one.
        CertificateError::Other(why) if why.to_string().contains("CaUsedAsEndEntity") => failed(
            place,
            "its certificate is an authority's, which is not taken for a server's",
        )
        .hint(
            "give etcd a certificate that an authority has signed; \
             `openssl req -x509` alone makes an authority",
        ),
        why => failed(place, format!("its certificate cannot be verified: {why}")),
    }
}

/// A name as TLS's library shows it, `DnsName("a")`, without what is around it.
fn bare(shown: &str) -> &str {
    let inner = shown.split_once('(').map_or(shown, |(_kind, rest)| rest);
    inner.trim_matches(|c| c == ')' || c == '"')
}

/// What a server complains of, after we gave a certificate or none.
fn does_not_believe(place: &Place, tls: &Tls, alert: AlertDescription) -> Fault {
    let is_about_us = matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    );
    match tls.identity() {
        None if is_about_us => failed(place, "it asks for a client certificate")
            .hint("--cert FILE --key FILE   one that etcd's --trusted-ca-file has signed"),
        Some(path) if is_about_us => failed(
            place,
            format!(
                "it does not accept the client certificate {} ({alert:?})",
                path.display()
            ),
        )
        .hint("--cert FILE --key FILE   one that etcd's --trusted-ca-file has signed"),
        _other if alert == AlertDescription::NoApplicationProtocol => {
            failed(place, "it does not speak HTTP/2, so it is no etcd")
        }
        _other => failed(place, format!("it ends the handshake ({alert:?})")),
    }
}
