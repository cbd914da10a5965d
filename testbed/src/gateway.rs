//! A payment gateway that speaks docs/GATEWAY.md, keeps a book, and fails as it is told. It moves no real money.

mod answer;
mod book;
pub mod script;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use book::{Payment, Status};
pub use script::{Act, Operation, When};

use crate::background;
use crate::error::{Error, Result};
use crate::ports::Reserved;
use crate::wait;
use serve::Stage;

/// A gateway on a free port; dropped, it is gone with all its connections.
#[derive(Debug)]
pub struct Gateway {
    addr: SocketAddr,
    stage: Arc<Stage>,
    /// An order to listen again; closed when this is dropped, which ends the gateway.
    start: mpsc::Sender<()>,
}

impl Gateway {
    /// Starts one with an empty book that does what it is asked.
    ///
    /// # Errors
    /// What the system says when it has no port left.
    pub async fn start() -> Result<Self> {
        let port = Reserved::new().map_err(Error::io("reserving a port"))?;
        let secret = format!("{:032x}", rand::random::<u128>());
        Self::at(port.addr(), secret, None, Some(port)).await
    }

    /// Starts one at `addr` that knows its clients by `secret`, and keeps its book in a file if one is named.
    ///
    /// # Errors
    /// What the system says when the address is taken or the file can not be read.
    pub async fn serve(addr: SocketAddr, secret: String, book: Option<PathBuf>) -> Result<Self> {
        Self::at(addr, secret, book, None).await
    }

    async fn at(addr: SocketAddr, secret: String, book: Option<PathBuf>, port: Option<Reserved>) -> Result<Self> {
        let stage = Arc::new(Stage::new(secret, book).map_err(Error::io("reading the gateway's book"))?);
        let (start, starts) = mpsc::channel(1);
        let bind = background::handle()?.spawn(async move { serve::bind(addr) });
        let listener = bind.await.map_err(|_| Error::io("binding")(std::io::Error::other("its task is gone")))?;
        let listener = listener.map_err(Error::io(format!("listening on {addr}")))?;
        let addr = listener.local_addr().map_err(Error::io("asking for the gateway's port"))?;
        background::handle()?.spawn(serve::run(addr, listener, Arc::clone(&stage), starts, port));
        Ok(Self { addr, stage, start })
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The secret that it knows its clients by.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.stage.secret()
    }

    /// What it does the next `times` times that it is asked for `operation`. Scripts are used up in order.
    pub fn script(&self, operation: Operation, when: When, act: Act, times: u32) {
        self.stage.script(operation, when, act, times);
    }

    /// Forgets every script: from now on it does what it is asked.
    pub fn forget_scripts(&self) {
        self.stage.forget_scripts();
    }

    /// Everything in its book, in order of first sight.
    #[must_use]
    pub fn payments(&self) -> Vec<Payment> {
        self.stage.payments()
    }

    /// Waits until a request stands still in [`Act::Wait`].
    ///
    /// # Errors
    /// [`Error::TimedOut`] when none does within the time.
    pub async fn waiting(&self, within: Duration) -> Result<()> {
        wait::until("the gateway to stand still", within, async || self.stage.is_waiting()).await
    }

    /// Whether a request stands still in [`Act::Wait`] at this moment.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.stage.is_waiting()
    }

    /// Lets one request go on that stands still in [`Act::Wait`], or the next that would.
    pub fn go_on(&self) {
        self.stage.go_on();
    }

    /// Whether it has died of [`Act::Die`] and was not started again.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.stage.is_dead()
    }

    /// Starts it again after [`Act::Die`], with the book as it was.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it does not listen again.
    pub async fn restart(&self, within: Duration) -> Result<()> {
        // One order waits at most; a second would say the same.
        let _ = self.start.try_send(());
        wait::until("the gateway to be back", within, async || !self.stage.is_dead()).await
    }
}
