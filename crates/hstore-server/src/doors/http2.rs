//! A connection of HTTP/2: its calls and their answers.
//!
//! A call that is light is worked at where it arrived, in the task of its connection, and has no
//! task of its own: nothing is woken for it but this one, and the answers to all that came together
//! go out together. Any other has a task of its own, so that it holds up nobody.
//!
//! Invariants: (1) everything that arrived is begun before anything is answered, and answers
//! are written when no more of them are ready; (2) a call ends with its stream: when its client
//! gives it up, and when the connection breaks; (3) of an answer no more goes out than the window of its
//! client has room for; what waits for that is counted with what waits for all others, and waits for
//! [`UNREAD_TIMEOUT`].

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use h2::server::{self, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http_body::Body as _;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arriving::{Arriving, OfStream};
use super::incoming::UNREAD_TIMEOUT;
use super::owed::{Debt, Owed};
use super::seats::Seat;
use crate::meter::Told;
use crate::web::{Answer, ClientPort};

/// How much of one request's body may be on its way; then the sender waits.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// How much of all bodies of one connection may be on its way; then the senders wait.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How many calls of one connection may run; one more waits in the client.
const CALLS_MAX: u32 = 4096;

/// How many calls that their client gave up before they were looked at a connection may have; one
/// more ends it. It is what stops a client that does nothing but begin and give up.
const RESETS_MAX: usize = 64;

/// How many streams may end for the client's faults before the connection does.
const FAULTS_MAX: usize = 1024;

/// How much of an answer is taken over for a connection that has no room for it.
const SEND_BUFFER_BYTES: usize = 400 * 1024;

/// How much of an answer that waits for room must be taken within [`UNREAD_TIMEOUT`], so that a byte
/// now and then does not do; else it breaks off.
const UNREAD_BYTES_MIN: usize = 64 * 1024;

/// How often the other end is asked whether it is still there.
const PULSE_INTERVAL: Duration = Duration::from_secs(30);

/// How long it has for its answer; then the connection is closed.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of a connection. Everything that bounds is said here, whatever the library's own
/// settings are.
fn settings() -> server::Builder {
    let mut settings = server::Builder::new();
    settings
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(CALLS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(FAULTS_MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_header_list_size(super::HEAD_BYTES_MAX as u32);
    settings
}

/// Who is served: what answers, and what is counted of them.
pub(super) struct Caller {
    pub(super) port: ClientPort,
    pub(super) seat: Arc<Seat>,
    pub(super) owed: Arc<Owed>,
}

/// Serves a connection until it has ended. When `closed` is, it ends with what it is at.
pub(super) async fn serve<S>(
    connection: S,
    caller: Caller,
    tasks: TaskTracker,
    closed: CancellationToken,
) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = settings().handshake::<_, Bytes>(connection).await?;
    let mut pulse = connection.ping_pong().map(Pulse::new);
    let mut calls = FuturesUnordered::new();
    let mut closed = pin!(closed.cancelled_owned());
    let leave = caller.seat.leave();
    let mut leave = pin!(leave.cancelled());
    let mut closing = false;
    poll_fn(|context| {
        if !closing && closed.as_mut().poll(context).is_ready() {
            closing = true;
            connection.graceful_shutdown();
        }
        if !closing && leave.as_mut().poll(context).is_ready() {
            closing = true;
            // It is at nothing, so nothing is lost; what comes in this moment is told that it was
            // not heard.
            connection.abrupt_shutdown(Reason::NO_ERROR);
        }
        if let Some(beats) = &mut pulse
            && beats.poll_lost(context).is_ready()
        {
            tracing::debug!("a connection answers no more");
            pulse = None;
            connection.abrupt_shutdown(Reason::NO_ERROR);
        }
        loop {
            while let Poll::Ready(arrived) = connection.poll_accept(context) {
                match arrived {
                    Some(Ok((request, respond))) => {
                        let is_light = ClientPort::is_light(&request);
                        let call = call(&caller, request, respond);
                        if is_light {
                            calls.push(call);
                        } else {
                            tasks.spawn(call);
                        }
                    }
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                }
            }
            let mut answered = false;
            while let Poll::Ready(Some(())) = calls.poll_next_unpin(context) {
                answered = true;
            }
            if !answered {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Answers one call.
fn call(
    caller: &Caller,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> impl Future<Output = ()> + Send + use<> {
    let is_head = *request.method() == Method::HEAD;
    let bytes = content_length(request.headers());
    let request = request.map(|stream| Arriving::Http2(OfStream::new(stream, bytes)));
    let answer = caller.port.answer(request);
    let work = caller.seat.work();
    let owed = Arc::clone(&caller.owed);
    async move {
        let _until_it_ends = work;
        if let Err(error) = tell(answer, respond, is_head, owed).await {
            tracing::debug!(%error, "an answer was not told to its end");
        }
    }
}

/// Tells an answer to whoever waits for it, unless they give it up.
async fn tell(
    answer: Answer,
    mut respond: SendResponse<Bytes>,
    is_head: bool,
    owed: Arc<Owed>,
) -> Result<(), h2::Error> {
    let mut answer = pin!(answer);
    let answered = poll_fn(|context| {
        if let Poll::Ready(answer) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(answer));
        }
        respond.poll_reset(context).map(|_given_up| None)
    });
    let Some(Ok(answer)) = answered.await else {
        return Ok(());
    };
    let (mut head, body) = answer.into_parts();
    let is_over = is_head || body.is_end_stream();
    if body.is_page() {
        if let Some(bytes) = body.size_hint().exact()
            && !is_over
        {
            let length = head.headers.entry(header::CONTENT_LENGTH);
            length.or_insert(HeaderValue::from(bytes));
        }
        date(&mut head.headers);
    }
    let stream = respond.send_response(Response::from_parts(head, ()), is_over)?;
    if is_over {
        return Ok(());
    }
    pipe(body, Outflow::new(stream, owed)).await
}

/// Sends the body of an answer, a piece at a time.
async fn pipe(body: Told, mut outflow: Outflow) -> Result<(), h2::Error> {
    let mut body = pin!(body);
    // What is made is here whether there is room for it or not. Of what is not, a piece is made when
    // there is.
    let is_made = body.size_hint().lower() > 0;
    loop {
        if !is_made && outflow.room(0).await?.is_none() {
            return Ok(());
        }
        let stream = &mut outflow.stream;
        let frame = poll_fn(|context| {
            if let Poll::Ready(frame) = body.as_mut().poll_frame(context) {
                return Poll::Ready(Some(frame));
            }
            stream.poll_reset(context).map(|_given_up| None)
        });
        let Some(frame) = frame.await else {
            return Ok(());
        };
        let Some(frame) = frame else {
            return stream.send_data(Bytes::new(), true);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(status) => {
                tracing::debug!(%status, "an answer broke off");
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
        };
        match frame.into_data() {
            Ok(data) => {
                let is_over = body.is_end_stream();
                if !outflow.send(data, is_over).await? || is_over {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return outflow.stream.send_trailers(trailers);
                }
            }
        }
    }
}

/// The way out for an answer: as much at a time as the window of its client has room for.
struct Outflow {
    stream: SendStream<Bytes>,
    owed: Arc<Owed>,
    /// What waits of a piece.
    debt: Option<Debt>,
    /// Until when more of it must be taken, and how much was since that was said.
    deadline: Option<Pin<Box<Sleep>>>,
    taken: usize,
}

impl Outflow {
    fn new(stream: SendStream<Bytes>, owed: Arc<Owed>) -> Outflow {
        Outflow {
            stream,
            owed,
            debt: None,
            deadline: None,
            taken: 0,
        }
    }

    /// Sends a piece; no when nobody waits for it any more, or did so for too long.
    async fn send(&mut self, mut data: Bytes, is_over: bool) -> Result<bool, h2::Error> {
        while !data.is_empty() {
            let Some(room) = self.room(data.len()).await? else {
                return Ok(false);
            };
            let part = data.split_to(room.min(data.len()));
            self.took(part.len());
            self.stream.send_data(part, is_over && data.is_empty())?;
            if data.is_empty() {
                self.debt = None;
                self.deadline = None;
                return Ok(true);
            }
        }
        self.stream.send_data(data, is_over)?;
        Ok(true)
    }

    /// Waits for room, with so many bytes in hand; how much there is. None when nobody waits for them
    /// any more, or did so for too long.
    async fn room(&mut self, held: usize) -> Result<Option<usize>, h2::Error> {
        self.stream.reserve_capacity(held.max(1));
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                return Ok(Some(room));
            }
            if held > 0 && self.debt.is_none() {
                self.debt = self.owed.hold(held);
                if self.debt.is_none() {
                    tracing::debug!(
                        "an answer broke off: too much waits for those who asked for it"
                    );
                    self.stream.send_reset(Reason::ENHANCE_YOUR_CALM);
                    return Ok(None);
                }
            }
            let more = poll_fn(|context| {
                if let Poll::Ready(more) = self.stream.poll_capacity(context) {
                    return Poll::Ready(Some(more));
                }
                if held == 0 {
                    return Poll::Pending;
                }
                let deadline = self
                    .deadline
                    .get_or_insert_with(|| Box::pin(sleep(UNREAD_TIMEOUT)));
                deadline.as_mut().poll(context).map(|()| None)
            });
            match more.await {
                Some(Some(more)) => drop(more?),
                Some(None) => return Ok(None),
                None => {
                    tracing::debug!("an answer broke off: it was not taken in time");
                    self.stream.send_reset(Reason::CANCEL);
                    return Ok(None);
                }
            }
        }
    }

    /// So many bytes were taken.
    fn took(&mut self, bytes: usize) {
        if let Some(debt) = &mut self.debt {
            debt.pay(bytes);
        }
        self.taken += bytes;
        if let Some(deadline) = &mut self.deadline
            && self.taken >= UNREAD_BYTES_MIN
        {
            self.taken = 0;
            deadline.as_mut().reset(Instant::now() + UNREAD_TIMEOUT);
        }
    }
}

/// How long a body is, if its head says so in one way.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Says when a page was made (RFC 9110, section 6.6.1).
fn date(headers: &mut HeaderMap) {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is for people and decides nothing"
    )]
    let now = httpdate::fmt_http_date(SystemTime::now());
    if let Ok(now) = HeaderValue::try_from(now) {
        headers.entry(header::DATE).or_insert(now);
    }
}

/// Whether the other end is still there: it is asked from time to time.
struct Pulse {
    pings: PingPong,
    asked: bool,
    timer: Pin<Box<Sleep>>,
}

impl Pulse {
    fn new(pings: PingPong) -> Pulse {
        Pulse {
            pings,
            asked: false,
            timer: Box::pin(sleep(PULSE_INTERVAL)),
        }
    }

    /// Ready when an answer is overdue.
    fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.asked && self.pings.poll_pong(context).is_ready() {
                // What went wrong with a ping goes wrong with the connection, which says it better.
                self.asked = false;
                self.wait(PULSE_INTERVAL);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if self.asked || self.pings.send_ping(Ping::opaque()).is_err() {
                return Poll::Ready(());
            }
            self.asked = true;
            self.wait(PULSE_TIMEOUT);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_answers_no_ping_is_lost_and_who_does_is_not() {
        for answers in [true, false] {
            let (ours, theirs) = duplex(64 * 1024);
            let greeting = h2::client::handshake(theirs);
            let (server, client) = tokio::join!(settings().handshake::<_, Bytes>(ours), greeting);
            let mut server = server.unwrap();
            let (_sender, client) = client.unwrap();
            let mut pulse = Pulse::new(server.ping_pong().unwrap());
            let client = async move {
                if answers {
                    let _ended = client.await;
                } else {
                    let _silent = client;
                    pending::<()>().await;
                }
            };
            let lost = poll_fn(|context| {
                assert!(server.poll_accept(context).is_pending());
                pulse.poll_lost(context)
            });
            tokio::select! {
                lost = timeout(10 * PULSE_INTERVAL, lost) => assert_eq!(lost.is_err(), answers),
                () = client => panic!("the connection ended"),
            }
        }
    }
}
