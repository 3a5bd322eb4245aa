//! The demo's own port: the panel, what it asks for, and everything else forwarded to a node that
//! lives, so that the page outlives any of them.
//!
//! Invariants: (1) it listens on loopback only; (2) who comes by another name is refused, and so is
//! what has effects and comes from a page of another site; (3) connections, heads and bodies are
//! bounded; (4) a story and a person do not break things at the same time.

mod answer;
mod assets;
mod forward;
mod wish;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_client::Client;
use hstore_core::error::ErrorCode;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tonic::body::Body;

use self::wish::Wish;
use super::load::Book;
use super::stage::Stage;
use super::story::{self, State, Telling};
use crate::fault::Fault;
use crate::web::{Guard, Problem, check_origin};

/// How many connections there may be; one more waits.
const CONNECTIONS_MAX: usize = 128;
/// How large the head of a request may be.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a connection has for the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after the system refused to accept.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// The port.
pub(super) struct Front {
    stage: Arc<Stage>,
    book: Arc<Book>,
    client: Client,
    guard: Guard,
    /// The story that is told, or was told last.
    told: watch::Sender<Option<Telling>>,
    telling: Mutex<Teller>,
}

/// Who tells a story now.
#[derive(Default)]
struct Teller {
    tasks: JoinSet<()>,
    now: Option<AbortHandle>,
}

/// Binds the port; 0 is any free one.
pub(super) async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), Fault> {
    let taken = |error: std::io::Error| {
        let what = format!("the page of the demo cannot listen on port {port}: {error}");
        Fault::new(ErrorCode::PortInUse, what).hint("leave --port away and a free one is picked")
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(taken)?;
    let address = listener.local_addr().map_err(taken)?;
    Ok((listener, address))
}

impl Front {
    pub(super) fn new(stage: Arc<Stage>, book: Arc<Book>, client: Client) -> Front {
        Front {
            stage,
            book,
            client,
            guard: Guard::new("localhost", &[]),
            told: watch::Sender::new(None),
            telling: Mutex::new(Teller::default()),
        }
    }

    /// Serves the port until it is dropped, and its connections with it.
    pub(super) async fn serve(self: Arc<Front>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let accepted = loop {
                tokio::select! {
                    Some(_ended) = connections.join_next() => {}
                    accepted = listener.accept() => break accepted,
                }
            };
            match accepted {
                Ok((stream, _from)) => {
                    let front = Arc::clone(&self);
                    connections.spawn(async move {
                        front.converse(stream).await;
                        drop(permit);
                    });
                }
                Err(_refused) => sleep(REFUSED_PAUSE).await,
            }
        }
    }

    async fn converse(self: Arc<Front>, stream: TcpStream) {
        let service = service_fn(move |request| {
            let front = Arc::clone(&self);
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection ended before its time");
        }
    }

    async fn answer(self: &Arc<Front>, request: Request<Incoming>) -> Response<Body> {
        match self.find(request).await {
            Ok(response) => response,
            Err(problem) => answer::dressed(problem.response()),
        }
    }

    async fn find(
        self: &Arc<Front>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        self.guard.check_host(&request)?;
        let path = request.uri().path();
        if !path.starts_with("/demo") {
            return self.forward(request).await;
        }
        if path == "/demo/act" {
            expect(&request, &Method::POST)?;
            check_origin(&request)?;
            let wish = Wish::read(request).await?;
            self.grant(wish)
                .await
                .map_err(|fault| Problem::new(fault.code, fault.to_string()))?;
            return Ok(answer::json("{}"));
        }
        let found = match path {
            "/demo" | "/demo/" => assets::page(),
            "/demo.js" => assets::script(),
            "/demo.css" => assets::style(),
            "/demo/state" => answer::json(self.state()),
            "/demo/events" => answer::events(Arc::clone(self)),
            _ => {
                let what = format!("there is no {path}");
                return Err(Problem::new(ErrorCode::NoSuchPath, what));
            }
        };
        expect(&request, &Method::GET)?;
        Ok(found)
    }

    /// The page of a node, or the demo's own where no node has one or lives.
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
        let is_home = request.uri().path() == "/" && request.method() == Method::GET;
        let forwarded = forward::forward(&self.stage, request).await;
        match forwarded {
            Ok(response) if !(is_home && response.status() == hyper::StatusCode::NOT_FOUND) => {
                Ok(response)
            }
            _ if is_home => Ok(assets::page()),
            forwarded => forwarded,
        }
    }

    /// Does what was asked for.
    async fn grant(self: &Arc<Front>, wish: Wish) -> Result<(), Fault> {
        match wish {
            Wish::Tell { story } => {
                let story = story::find(&story).ok_or_else(|| {
                    let what = format!("there is no story {story:?}");
                    Fault::new(ErrorCode::InvalidArgument, what)
                })?;
                self.tell(story)
            }
            Wish::StopTelling => self.stop_telling().await,
            Wish::Act(act) => {
                if self.is_telling() {
                    let what = "a story is being told; stop it, or wait for its end";
                    return Err(Fault::new(ErrorCode::Conflict, what));
                }
                act.perform(&self.stage).await
            }
        }
    }

    fn tell(self: &Arc<Front>, story: &'static story::Story) -> Result<(), Fault> {
        let mut teller = self.teller();
        if teller.is_telling() {
            let what = "another story is being told";
            return Err(Fault::new(ErrorCode::Conflict, what));
        }
        let front = Arc::clone(self);
        let task = teller.tasks.spawn(async move {
            let hear = |telling: &Telling| {
                front.told.send_replace(Some(telling.clone()));
            };
            // It is told whole by `hear`.
            let _told = story::tell(story, &front.stage, &front.book, &front.client, hear).await;
        });
        teller.now = Some(task);
        Ok(())
    }

    async fn stop_telling(&self) -> Result<(), Fault> {
        let task = self.teller().now.take();
        let Some(task) = task.filter(|task| !task.is_finished()) else {
            let what = "no story is being told";
            return Err(Fault::new(ErrorCode::Conflict, what));
        };
        task.abort();
        self.told.send_modify(|telling| {
            let lines = telling.iter_mut().flat_map(|telling| &mut telling.lines);
            for line in lines.filter(|line| line.state == State::Waiting) {
                line.state = State::Broken;
                "the story was stopped here".clone_into(&mut line.note);
            }
        });
        self.stage.heal().await
    }

    fn is_telling(&self) -> bool {
        self.teller().is_telling()
    }

    fn teller(&self) -> MutexGuard<'_, Teller> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that the panel shows.
    fn state(&self) -> String {
        let stories =
            story::ALL.map(|story| serde_json::json!({ "name": story.name, "title": story.title }));
        let (leader, nodes) = {
            let view = self.stage.view();
            let view = view.borrow();
            (view.leader(), view.nodes.clone())
        };
        let state = serde_json::json!({
            "nodes": nodes,
            "leader": leader,
            "links": self.stage.network().harmed(),
            "writes": self.book.told(),
            "stories": stories,
            "telling": self.is_telling(),
            "told": *self.told.borrow(),
        });
        state.to_string()
    }
}

impl Teller {
    fn is_telling(&self) -> bool {
        self.now.as_ref().is_some_and(|task| !task.is_finished())
    }
}

fn expect<B>(request: &Request<B>, method: &Method) -> Result<(), Problem> {
    if request.method() == method {
        return Ok(());
    }
    let what = format!(
        "{} does not take {}",
        request.uri().path(),
        request.method()
    );
    Err(Problem::new(ErrorCode::MethodNotAllowed, what).allow(method.as_str()))
}
