//! A TCP connection that can be cut, delayed, silenced or made to lose replies; it never looks at what it carries.

mod actor;
mod pump;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::background;
use crate::error::{Error, Result};
use crate::ports::Reserved;

/// What happens to the bytes that pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flow {
    /// How long every chunk is held back, in both directions. Order and throughput stay as they are.
    delay: Duration,
    requests: Passage,
    replies: Passage,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Passage {
    /// They pass.
    #[default]
    Open,
    /// They stay where they are until the wire is mended.
    Held,
    /// They are taken and thrown away.
    Lost,
}

/// What the wire is told to be.
enum Order {
    /// Connections are reset, new ones refused.
    Cut,
    /// Connections are accepted and carried like this.
    Carry(Flow),
    /// The same, for those that are open, without accepting any more than before.
    Delay(Duration),
    /// Connections are reset, new ones go to another address.
    Turn(SocketAddr),
}

/// A TCP proxy in front of one address; dropped, all its connections are reset.
#[derive(Debug)]
pub struct Wire {
    addr: SocketAddr,
    orders: mpsc::Sender<(Order, oneshot::Sender<Result<()>>)>,
}

impl Wire {
    /// A wire from a free port to `target`, whole at first.
    ///
    /// # Errors
    /// What the system says when it has no port left.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let port = Reserved::new().map_err(Error::io("reserving a port"))?;
        let addr = port.addr();
        // One order at a time is enough: each is waited for.
        let (orders, inbox) = mpsc::channel(1);
        background::handle()?.spawn(actor::run(port, target, inbox));
        let wire = Self { addr, orders };
        wire.mend().await?;
        Ok(wire)
    }

    /// Where it listens; the same after a mend.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets all connections and refuses new ones, from when this returns.
    ///
    /// # Errors
    /// None while the wire exists.
    pub async fn cut(&self) -> Result<()> {
        self.order(Order::Cut).await
    }

    /// Makes it whole: connections are accepted, bytes held back go on, no delay.
    ///
    /// # Errors
    /// What the system says when the port cannot be listened on.
    pub async fn mend(&self) -> Result<()> {
        self.order(Order::Carry(Flow::default())).await
    }

    /// Resets all connections, and carries new ones to `target`: what a failover does to a name or a virtual address.
    ///
    /// A wire that is cut stays so.
    ///
    /// # Errors
    /// None while the wire exists.
    pub async fn turn_to(&self, target: SocketAddr) -> Result<()> {
        self.order(Order::Turn(target)).await
    }

    /// Holds every chunk back for `delay`, in both directions: a round trip takes twice that longer.
    ///
    /// # Errors
    /// None while the wire exists.
    pub async fn delay(&self, delay: Duration) -> Result<()> {
        self.order(Order::Delay(delay)).await
    }

    /// Connections stay open and are accepted, and nothing passes until the wire is mended.
    ///
    /// # Errors
    /// What the system says when the port cannot be listened on.
    pub async fn blackhole(&self) -> Result<()> {
        let flow = Flow { requests: Passage::Held, replies: Passage::Held, ..Flow::default() };
        self.order(Order::Carry(flow)).await
    }

    /// Requests pass and have their effect, and every reply is lost.
    ///
    /// # Errors
    /// What the system says when the port cannot be listened on.
    pub async fn lose_replies(&self) -> Result<()> {
        self.order(Order::Carry(Flow { replies: Passage::Lost, ..Flow::default() })).await
    }

    async fn order(&self, order: Order) -> Result<()> {
        let gone = || Error::io("ordering a wire")(std::io::Error::other("its task is gone"));
        let (done, is_done) = oneshot::channel();
        self.orders.send((order, done)).await.map_err(|_| gone())?;
        is_done.await.map_err(|_| gone())?
    }
}
