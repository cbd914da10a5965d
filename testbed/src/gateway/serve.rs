//! The gateway's sockets, and what its connections share.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::answer::answer;
use super::book::{Book, Entry, Payment};
use super::script::{Act, Operation, When};
use crate::ports::Reserved;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Bytes between a socket and its server; a reply of ours fits, so that it can be sent twice as a whole.
const BUFFER: usize = 64 * 1024;

/// Between two tries to listen again.
const BIND_PAUSE: Duration = Duration::from_millis(5);

/// A script that is not used up.
#[derive(Debug)]
struct Scripted {
    operation: Operation,
    when: When,
    act: Act,
    left: u32,
}

/// What the connections of one gateway share. Std locks: none is held across an await.
#[derive(Debug)]
pub(super) struct Stage {
    secret: String,
    book: Mutex<Book>,
    scripts: Mutex<VecDeque<Scripted>>,
    waiting: AtomicUsize,
    go_on: Semaphore,
    dead: watch::Sender<bool>,
}

impl Stage {
    pub(super) fn new(secret: String, book: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            secret,
            book: Mutex::new(Book::open(book.as_deref())?),
            scripts: Mutex::default(),
            waiting: AtomicUsize::new(0),
            go_on: Semaphore::new(0),
            dead: watch::Sender::new(false),
        })
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn payments(&self) -> Vec<Payment> {
        self.with_book(|book| book.payments())
    }

    pub(super) fn look(&self, id: &str) -> Option<Payment> {
        self.with_book(|book| book.get(id).cloned())
    }

    pub(super) fn authorise(&self, wanted: Payment) -> io::Result<Entry> {
        self.with_book(|book| book.authorise(wanted))
    }

    pub(super) fn step(&self, operation: Operation, id: &str) -> io::Result<Entry> {
        self.with_book(|book| book.step(operation, id))
    }

    pub(super) fn script(&self, operation: Operation, when: When, act: Act, left: u32) {
        self.scripts().push_back(Scripted { operation, when, act, left });
    }

    pub(super) fn forget_scripts(&self) {
        self.scripts().clear();
    }

    /// Uses up one decline, if the next authorisation is to be one.
    pub(super) fn decline(&self) -> Option<String> {
        self.take(|scripted| matches!(scripted.act, Act::Decline(_))).and_then(|act| match act {
            Act::Decline(reason) => Some(reason),
            _ => None,
        })
    }

    pub(super) fn next_act(&self, operation: Operation, when: When) -> Option<Act> {
        self.take(|scripted| {
            scripted.operation == operation && scripted.when == when && !matches!(scripted.act, Act::Decline(_))
        })
    }

    fn take(&self, fits: impl Fn(&Scripted) -> bool) -> Option<Act> {
        let mut scripts = self.scripts();
        let at = scripts.iter().position(|scripted| scripted.left > 0 && fits(scripted))?;
        let scripted = scripts.get_mut(at)?;
        scripted.left -= 1;
        let act = scripted.act.clone();
        scripts.retain(|scripted| scripted.left > 0);
        Some(act)
    }

    pub(super) async fn stand_still(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        if let Ok(permit) = self.go_on.acquire().await {
            permit.forget();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    pub(super) fn go_on(&self) {
        self.go_on.add_permits(1);
    }

    pub(super) fn die(&self) {
        self.dead.send_replace(true);
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    fn with_book<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn scripts(&self) -> std::sync::MutexGuard<'_, VecDeque<Scripted>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, as its requests see it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    double: AtomicBool,
}

impl Connection {
    /// The next reply goes out twice.
    pub(super) fn double(&self) {
        self.double.store(true, Ordering::SeqCst);
    }
}

pub(super) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Serves until the handle is gone. Dead, it waits for the order to start again.
pub(super) async fn run(
    addr: SocketAddr,
    listener: TcpListener,
    stage: Arc<Stage>,
    mut starts: mpsc::Receiver<()>,
    _port: Option<Reserved>,
) {
    let mut listener = Some(listener);
    let mut dead = stage.dead.subscribe();
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = starts.recv() => {
                if order.is_none() { return }
                // It may have been told to start before it came to die.
                connections.shutdown().await;
                drop(listener.take());
                listener = Some(bind_again(addr).await);
                stage.dead.send_replace(false);
            }
            () = told(&mut dead), if listener.is_some() => {
                listener = None;
                connections.shutdown().await;
            }
            stream = accept(listener.as_ref()) => {
                connections.spawn(connection(stream, Arc::clone(&stage)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The port is ours, so what stands in the way (a file descriptor that is missing) passes.
async fn bind_again(addr: SocketAddr) -> TcpListener {
    loop {
        match bind(addr) {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(BIND_PAUSE).await,
        }
    }
}

/// Returns once the gateway is to die.
async fn told(dead: &mut watch::Receiver<bool>) {
    let _ = dead.wait_for(|dead| *dead).await;
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // An error is one client's that has gone again already.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
}

async fn connection(stream: TcpStream, stage: Arc<Stage>) {
    let _ = stream.set_nodelay(true);
    let (ours, servers) = duplex(BUFFER);
    let connection = Arc::new(Connection::default());
    let shared = Arc::clone(&connection);
    let service = service_fn(move |request| answer(Arc::clone(&stage), Arc::clone(&shared), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(servers), service);
    // Whichever ends first ends both: the client's leaving, or a reply that is not to come.
    tokio::select! {
        _ = served => {}
        _ = carry(stream, ours, &connection) => {}
    }
}

/// Carries bytes both ways; a reply that is to go out twice does.
async fn carry(mut socket: TcpStream, mut server: DuplexStream, connection: &Connection) -> io::Result<()> {
    let mut request = vec![0; 8 * 1024];
    let mut reply = vec![0; BUFFER];
    loop {
        tokio::select! {
            read = socket.read(&mut request) => match read? {
                0 => return Ok(()),
                read => server.write_all(&request[..read]).await?,
            },
            read = server.read(&mut reply) => match read? {
                0 => return Ok(()),
                read => {
                    let copies = if connection.double.swap(false, Ordering::SeqCst) { 2 } else { 1 };
                    socket.write_all(&reply[..read].repeat(copies)).await?;
                }
            },
        }
    }
}
