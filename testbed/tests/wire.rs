//! The wire in front of a server that sends back every line.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use testbed::wait;
use testbed::wire::Wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(20);

/// An echo server that counts the bytes it has taken in.
async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(read) = stream.read(&mut buffer).await {
                    counter.fetch_add(read, Ordering::SeqCst);
                    if read == 0 || stream.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (addr, taken)
}

async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, text);
    Ok(())
}

#[tokio::test]
async fn a_cut_resets_and_refuses_and_a_mend_lets_in_again() {
    let (addr, _) = echo().await;
    let wire = Wire::to(addr).await.unwrap();
    let mut open = TcpStream::connect(wire.addr()).await.unwrap();
    round_trip(&mut open, b"before").await.unwrap();
    wire.cut().await.unwrap();
    assert_eq!(open.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(wire.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    wire.mend().await.unwrap();
    let mut again = TcpStream::connect(wire.addr()).await.unwrap();
    round_trip(&mut again, b"after").await.unwrap();
}

#[tokio::test]
async fn a_turn_resets_and_leads_elsewhere() {
    let ((first, had_first), (second, had_second)) = (echo().await, echo().await);
    let wire = Wire::to(first).await.unwrap();
    let mut open = TcpStream::connect(wire.addr()).await.unwrap();
    round_trip(&mut open, b"one").await.unwrap();
    wire.turn_to(second).await.unwrap();
    assert_eq!(open.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let mut again = TcpStream::connect(wire.addr()).await.unwrap();
    round_trip(&mut again, b"second").await.unwrap();
    assert_eq!((had_first.load(Ordering::SeqCst), had_second.load(Ordering::SeqCst)), (3, 6));
}

#[tokio::test]
async fn a_blackhole_holds_everything_back_until_it_is_mended() {
    let (addr, taken) = echo().await;
    let wire = Wire::to(addr).await.unwrap();
    let mut open = TcpStream::connect(wire.addr()).await.unwrap();
    round_trip(&mut open, b"x").await.unwrap();
    wire.blackhole().await.unwrap();
    let mut newcomer = TcpStream::connect(wire.addr()).await.unwrap();
    newcomer.write_all(b"hello").await.unwrap();
    open.write_all(b"y").await.unwrap();
    let mut byte = [0; 1];
    assert!(open.read(&mut byte).now_or_never().is_none());
    wire.mend().await.unwrap();
    open.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"y");
    let mut hello = [0; 5];
    newcomer.read_exact(&mut hello).await.unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), 7);
}

#[tokio::test]
async fn f5_a_request_has_its_effect_though_its_reply_is_lost() {
    let (addr, taken) = echo().await;
    let wire = Wire::to(addr).await.unwrap();
    wire.lose_replies().await.unwrap();
    let mut open = TcpStream::connect(wire.addr()).await.unwrap();
    open.write_all(b"charge").await.unwrap();
    wait::until("the request", LONG, async || taken.load(Ordering::SeqCst) == 6).await.unwrap();
    wire.cut().await.unwrap();
    assert!(open.read(&mut [0; 1]).await.is_err(), "a reply came through");
}

#[tokio::test]
async fn a_delay_counts_twice_a_round_trip_and_keeps_the_order() {
    let (addr, _) = echo().await;
    let wire = Wire::to(addr).await.unwrap();
    wire.delay(Duration::from_millis(50)).await.unwrap();
    let mut open = TcpStream::connect(wire.addr()).await.unwrap();
    let start = Instant::now();
    round_trip(&mut open, b"one two three").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_end_of_one_side_passes_and_all_bytes_arrive_before_it() {
    let (addr, _) = echo().await;
    let wire = Wire::to(addr).await.unwrap();
    let (mut read, mut write) = TcpStream::connect(wire.addr()).await.unwrap().into_split();
    let sent = vec![7u8; 1 << 20];
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
    writer.await.unwrap();
}

#[tokio::test]
async fn a_dropped_wire_is_gone() {
    let (addr, _) = echo().await;
    let wire = Wire::to(addr).await.unwrap();
    let at = wire.addr();
    let mut open = TcpStream::connect(at).await.unwrap();
    round_trip(&mut open, b"x").await.unwrap();
    drop(wire);
    wait::until("the end of the wire", LONG, async || TcpStream::connect(at).await.is_err()).await.unwrap();
    assert!(open.read(&mut [0; 1]).await.is_err());
}
