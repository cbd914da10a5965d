//! Carries the bytes of one connection as the wire's flow says.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Flow, Passage};

/// Largest chunk read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks that may be under way with a delay; a full queue holds the sender back, as a full network does.
const CHUNKS_UNDER_WAY: usize = 256;

/// Which half of the flow a direction obeys.
type Direction = fn(&Flow) -> Passage;

/// Carries one connection until both sides have closed. Aborted, it resets both.
pub(super) async fn carry(mut client: TcpStream, target: SocketAddr, flows: watch::Receiver<Flow>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    for side in [&client, &server] {
        let _ = side.set_nodelay(true);
        let _ = side.set_zero_linger();
    }
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = one_way(from_client, to_server, flows.clone(), |flow| flow.requests);
        let replies = one_way(from_server, to_client, flows, |flow| flow.replies);
        // One direction may end long before the other, as after `shutdown(SHUT_WR)`.
        if !matches!(tokio::join!(requests, replies), (Ok(()), Ok(()))) {
            return;
        }
    }
    // An orderly end: what is sent already must still arrive.
    for side in [&client, &server] {
        in_order(side);
    }
}

/// Takes back the zero linger, so that closing sends the rest and no reset.
#[expect(deprecated, reason = "a positive linger blocks the thread that closes; none does not")]
fn in_order(stream: &TcpStream) {
    let _ = stream.set_linger(None);
}

async fn one_way(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    flows: watch::Receiver<Flow>,
    direction: Direction,
) -> io::Result<()> {
    let (chunks, queue) = mpsc::channel(CHUNKS_UNDER_WAY);
    let (taken, given) = tokio::join!(take(from, chunks, flows.clone(), direction), give(to, queue, flows, direction));
    taken.and(given)
}

/// Reads chunks, each with the time before which it must not arrive.
async fn take(
    mut from: impl AsyncRead + Unpin,
    chunks: mpsc::Sender<(Instant, Bytes)>,
    mut flows: watch::Receiver<Flow>,
    direction: Direction,
) -> io::Result<()> {
    loop {
        passable(&mut flows, direction).await?;
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let due = Instant::now() + flows.borrow().delay;
        if chunks.send((due, buffer.freeze())).await.is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
}

/// Writes the chunks when they are due, and passes on the end.
async fn give(
    mut to: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<(Instant, Bytes)>,
    mut flows: watch::Receiver<Flow>,
    direction: Direction,
) -> io::Result<()> {
    while let Some((due, chunk)) = queue.recv().await {
        tokio::time::sleep_until(due).await;
        // Looked at again: the wire may have changed while the chunk was under way.
        if passable(&mut flows, direction).await? == Passage::Open {
            to.write_all(&chunk).await?;
        }
    }
    passable(&mut flows, direction).await?;
    to.shutdown().await
}

/// Waits while bytes of this direction are held back; says whether they pass or are lost.
async fn passable(flows: &mut watch::Receiver<Flow>, direction: Direction) -> io::Result<Passage> {
    let flow = flows.wait_for(|flow| direction(flow) != Passage::Held).await;
    flow.map(|flow| direction(&flow)).map_err(|_| io::ErrorKind::ConnectionReset.into())
}
