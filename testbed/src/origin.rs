//! A scripted HTTP origin: answers as told, and remembers what it was asked.

mod answer;
mod script;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

pub use script::Script;

use crate::background;
use crate::error::{Error, Result};

/// Requests that are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 100_000;

/// A request as it reached the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What stands behind the question mark.
    pub query: Option<String>,
    /// Names in lower case, in the order of arrival; a header sent twice is here twice.
    pub headers: Vec<(String, String)>,
    /// The body; empty where the script echoes it or upgrades.
    pub body: Bytes,
}

impl Recorded {
    /// All values of a header.
    #[must_use]
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_all(name).first().copied()
    }
}

/// What the connections of one origin share.
#[derive(Debug, Default)]
struct Stage {
    /// Scripts by exact path. Std locks: none is held across an await.
    scripts: Mutex<HashMap<String, Script>>,
    requests: Mutex<VecDeque<Recorded>>,
}

impl Stage {
    fn script_for(&self, path: &str) -> Script {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned().unwrap_or_default()
    }

    fn remember(&self, request: Recorded) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == REMEMBERED {
            requests.pop_front();
        }
        requests.push_back(request);
    }
}

/// A scripted HTTP/1.1 origin on a free port; dropped, it is gone with all its connections.
#[derive(Debug)]
pub struct Origin {
    addr: SocketAddr,
    stage: Arc<Stage>,
    listening: AbortHandle,
}

impl Origin {
    /// Starts one that answers everything with 200 `ok`.
    ///
    /// # Errors
    /// What the system says when it has no port left.
    pub async fn start() -> Result<Self> {
        let bind = background::handle()?.spawn(TcpListener::bind("127.0.0.1:0"));
        let listener = bind.await.map_err(|_| Error::io("binding")(std::io::Error::other("its task is gone")))?;
        let listener = listener.map_err(Error::io("binding the origin's port"))?;
        let addr = listener.local_addr().map_err(Error::io("asking for the origin's port"))?;
        let stage = Arc::new(Stage::default());
        let listening = background::handle()?.spawn(listen(listener, Arc::clone(&stage))).abort_handle();
        Ok(Self { addr, stage, listening })
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it does from now on with requests for exactly `path`.
    pub fn script(&self, path: impl Into<String>, script: Script) {
        self.stage.scripts.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into(), script);
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.stage.requests.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.stage.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, stage: Arc<Stage>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&stage)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, stage: Arc<Stage>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer::answer(Arc::clone(&stage), request));
    // An error is the client's leaving, or a reset that the script wants.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
