//! The task that owns a wire's listener and connections, so that an order is done when it is answered.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::pump;
use super::{Flow, Order};
use crate::error::{Error, Result};
use crate::ports::Reserved;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Serves one wire until its handle is dropped.
pub(super) async fn run(
    port: Reserved,
    mut target: SocketAddr,
    mut orders: mpsc::Receiver<(Order, oneshot::Sender<Result<()>>)>,
) {
    let (flow, flows) = watch::channel(Flow::default());
    let mut listener: Option<TcpListener> = None;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((order, done)) = order else { break };
                let result = match order {
                    Order::Cut => {
                        listener = None;
                        connections.shutdown().await;
                        Ok(())
                    }
                    Order::Carry(new) => {
                        flow.send_replace(new);
                        listen(&port, &mut listener)
                    }
                    Order::Delay(delay) => {
                        flow.send_modify(|flow| flow.delay = delay);
                        Ok(())
                    }
                    Order::Turn(to) => {
                        target = to;
                        connections.shutdown().await;
                        Ok(())
                    }
                };
                // Nobody waits any more when the caller was cancelled; the order is done all the same.
                let _ = done.send(result);
            }
            accepted = accept(listener.as_ref()) => {
                connections.spawn(pump::carry(accepted, target, flows.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

fn listen(port: &Reserved, listener: &mut Option<TcpListener>) -> Result<()> {
    if listener.is_none() {
        let socket = TcpSocket::new_v4().map_err(Error::io("opening a socket"))?;
        socket.set_reuseaddr(true).map_err(Error::io("setting SO_REUSEADDR"))?;
        socket.bind(port.addr()).map_err(Error::io("binding the wire's port"))?;
        *listener = Some(socket.listen(BACKLOG).map_err(Error::io("listening on the wire's port"))?);
    }
    Ok(())
}

/// The next connection; waits for ever while the wire is cut.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        // An error is one client's that has gone again already; the listener itself does not break.
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
}
