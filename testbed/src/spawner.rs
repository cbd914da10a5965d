//! The one thread that starts all children; it must live as long as the process.
//!
//! Linux sends the parent-death signal when the *thread* that started a child
//! ends. Threads of tests and of runtimes end early, this one never does.

use std::io;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::thread;

/// One order: what to start, and where the answer goes.
type Order = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts `command` from the spawner thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    let (answer, answered) = mpsc::sync_channel(1);
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        // When no thread can be started the inbox is dropped, and the send below fails.
        let _ = thread::Builder::new().name("testbed-spawner".to_owned()).spawn(move || serve(&inbox));
        orders
    });
    orders.send((command, answer)).map_err(|_| gone(mpsc::RecvError))?;
    answered.recv().map_err(gone)?
}

fn serve(inbox: &mpsc::Receiver<Order>) {
    for (mut command, answer) in inbox {
        // The one who asked may have been cancelled: its child is then dropped here, and ended.
        if let Err(mpsc::SendError(Ok(mut child))) = answer.send(command.spawn()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
