//! Free TCP ports that stay free until the server that they are meant for binds them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpSocket;

/// A loopback port held by a bound socket that does not listen.
///
/// Connections to it are refused, nobody else is given the port by the system,
/// and yet a server that sets `SO_REUSEADDR` (redis, postgres, nginx, Pingora,
/// hyper, everything of tokio and std) can bind and listen on it.
#[derive(Debug)]
pub struct Reserved {
    addr: SocketAddr,
    _socket: TcpSocket,
}

impl Reserved {
    /// Reserves a port that the system picks.
    ///
    /// # Errors
    /// What the system says when it has no port or no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { addr: socket.local_addr()?, _socket: socket })
    }

    /// The loopback address that is reserved.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A free loopback port, reserved for the rest of this process.
///
/// # Panics
/// When the system has no port or file descriptor left: no test can go on then.
#[must_use]
pub fn free() -> u16 {
    static HELD: Mutex<Vec<Reserved>> = Mutex::new(Vec::new());
    match Reserved::new() {
        Ok(reserved) => {
            let port = reserved.addr().port();
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(reserved);
            port
        }
        Err(cause) => panic!("no free TCP port on the loopback address: {cause}"),
    }
}
