//! Newcomers: a pre-ticket, a poll with it, and a place in line; each is somebody else.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;

use crate::tally::Tally;
use crate::wire::{Answer, Wire, get};

/// Who comes, and how.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The site
    #[arg(long)]
    addr: SocketAddr,
    /// The room
    #[arg(long)]
    room: String,
    /// How many newcomers
    #[arg(long)]
    visitors: u64,
    /// Over how many kept connections, as fast as answers come
    #[arg(long, default_value_t = 256)]
    connections: u64,
    /// So many newcomers a second instead, each on a connection of its own, however slow the answers are
    #[arg(long)]
    per_s: Option<f64>,
    /// So many are in line before that, and poll as they are told while it lasts
    #[arg(long, default_value_t = 0)]
    standing: u64,
}

/// Somebody who has no place after this many polls is lost.
const TRIES: u32 = 20;

/// Shared by all tasks of the one thread; never borrowed over an await.
type Shared = Rc<RefCell<Tally>>;

/// The line that they join.
#[derive(Clone)]
struct Line {
    addr: SocketAddr,
    path: Rc<str>,
    /// A poll without a ticket.
    first: Rc<[u8]>,
}

/// An answer to a poll.
struct Polled {
    ticket: Option<String>,
    /// In line, or let in already.
    seq: Option<u64>,
    admitted: bool,
    poll_after: Duration,
}

/// Lets them come, and prints what came of it.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let path: Rc<str> = format!("/queue/status?room={}", options.room).into();
    let line = Line { addr: options.addr, first: get(options.addr, &path, "").into(), path };
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let took = LocalSet::new().run_until(rush(options, line, tally.clone())).await?;
    println!("{}", tally.borrow().json(took));
    Ok(())
}

async fn rush(options: &Options, line: Line, tally: Shared) -> Result<Duration> {
    let standing = line_up(options, &line, &tally).await.context("lining up before the rush")?;
    let pollers: Vec<_> =
        standing.into_iter().map(|place| spawn_local(stand(line.clone(), place, tally.clone()))).collect();
    let began = Instant::now();
    let newcomers = match options.per_s {
        Some(per_s) => at_a_rate(options.visitors, per_s, &line, &tally).await?,
        None => flat_out(options, &line, &tally),
    };
    for newcomer in newcomers {
        newcomer.await.context("a task failed")?;
    }
    let took = began.elapsed();
    pollers.iter().for_each(JoinHandle::abort);
    Ok(took)
}

/// Those who are there before. Of them only the places are noted.
async fn line_up(options: &Options, line: &Line, tally: &Shared) -> Result<Vec<Place>> {
    let left = Rc::new(Cell::new(options.standing));
    let uncounted = Rc::new(RefCell::new(Tally::new()?));
    let connection = |_| {
        let (left, line, uncounted) = (left.clone(), line.clone(), uncounted.clone());
        spawn_local(async move {
            let (mut wire, mut places) = (Wire::to(line.addr), Vec::new());
            while left.get() > 0 {
                left.set(left.get() - 1);
                places.push(newcomer(&line, &mut wire, &uncounted).await?);
            }
            anyhow::Ok(places)
        })
    };
    let connections: Vec<_> = (0..options.connections.min(options.standing)).map(connection).collect();
    let mut places = Vec::new();
    for connection in connections {
        places.append(&mut connection.await??);
    }
    tally.borrow_mut().seqs.append(&mut uncounted.borrow_mut().seqs);
    Ok(places)
}

/// As many at a time as there are connections; the next when one has a place.
fn flat_out(options: &Options, line: &Line, tally: &Shared) -> Vec<JoinHandle<()>> {
    let left = Rc::new(Cell::new(options.visitors));
    let connection = |_| {
        let (left, line, tally) = (left.clone(), line.clone(), tally.clone());
        spawn_local(async move {
            let mut wire = Wire::to(line.addr);
            while left.get() > 0 {
                left.set(left.get() - 1);
                settle(newcomer(&line, &mut wire, &tally).await, &tally);
            }
        })
    };
    (0..options.connections.min(options.visitors)).map(connection).collect()
}

/// Each at its time, whether or not those before have been answered.
async fn at_a_rate(visitors: u64, per_s: f64, line: &Line, tally: &Shared) -> Result<Vec<JoinHandle<()>>> {
    ensure!(per_s > 0.0 && per_s <= 100_000.0, "--per-s must be above 0 and at most 100000");
    let began = Instant::now();
    let mut newcomers = Vec::new();
    for number in 0..visitors {
        let due = began + Duration::from_secs_f64(number as f64 / per_s);
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        } else if number % 16 == 0 {
            // Late already: the others still need their turn on this thread.
            tokio::task::yield_now().await;
        }
        let (line, tally) = (line.clone(), tally.clone());
        tally.borrow_mut().note_lag(due.elapsed());
        newcomers.push(spawn_local(async move {
            let mut wire = Wire::of_visitor(line.addr, number);
            settle(newcomer(&line, &mut wire, &tally).await, &tally);
        }));
    }
    Ok(newcomers)
}

fn settle(outcome: Result<Place>, tally: &Shared) {
    if let Err(error) = outcome {
        tally.borrow_mut().lost(&error);
    }
}

/// Where somebody is after joining.
struct Place {
    ticket: String,
    poll_after: Duration,
}

/// The whole way into the line: a pre-ticket, then polls with it until there is a place.
async fn newcomer(line: &Line, wire: &mut Wire, tally: &Shared) -> Result<Place> {
    let began = Instant::now();
    let first = poll(line, wire, None, tally).await?;
    let pre_ticket = first.ticket.context("no pre-ticket")?;
    let joining = Instant::now();
    tally.borrow_mut().pre.note(joining - began);
    for _ in 0..TRIES {
        let joined = poll(line, wire, Some(&pre_ticket), tally).await?;
        if joined.seq.is_none() && !joined.admitted {
            // The store had not answered: a page would ask again after as long as it was told.
            tally.borrow_mut().blind += 1;
            tokio::time::sleep(joined.poll_after).await;
            continue;
        }
        let mut tally = tally.borrow_mut();
        tally.join.note(joining.elapsed());
        tally.whole.note(began.elapsed());
        match joined.seq {
            Some(seq) => tally.seqs.push(seq),
            None => tally.admitted += 1,
        }
        let ticket = joined.ticket.unwrap_or(pre_ticket);
        return Ok(Place { ticket, poll_after: joined.poll_after });
    }
    bail!("no place after {TRIES} polls")
}

/// Polls as told, for as long as it is let.
async fn stand(line: Line, place: Place, tally: Shared) {
    let mut wire = Wire::to(line.addr);
    let mut poll_after = place.poll_after;
    loop {
        wire.rest(poll_after).await;
        let began = Instant::now();
        let polled = poll(&line, &mut wire, Some(&place.ticket), &tally).await;
        let mut tally = tally.borrow_mut();
        match polled {
            Ok(polled) => {
                tally.poll.note(began.elapsed());
                // Let in: nothing is left to wait for.
                if polled.admitted {
                    return;
                }
                poll_after = polled.poll_after.max(Duration::from_millis(100));
            }
            Err(error) => tally.failed(&error),
        }
    }
}

async fn poll(line: &Line, wire: &mut Wire, ticket: Option<&str>, tally: &Shared) -> Result<Polled> {
    tally.borrow_mut().requests += 1;
    let answer = match ticket {
        Some(ticket) => wire.ask(&get(line.addr, &line.path, &format!("X-QUEUE-TICKET: {ticket}\r\n"))).await?,
        None => wire.ask(&line.first).await?,
    };
    Polled::read(answer)
}

impl Polled {
    /// Looks for the few members that count: to read all of a status costs more than to send the request.
    fn read(answer: Answer) -> Result<Self> {
        let body = &answer.body;
        ensure!(answer.status == 200 && body.starts_with('{'), "answered with {}: {body}", answer.status);
        let number = |name: &str| {
            let value = body.split_once(name)?.1;
            value[..value.find(|letter: char| !letter.is_ascii_digit())?].parse::<u64>().ok()
        };
        Ok(Self {
            seq: number("\"seq\":"),
            admitted: body.contains("\"state\":\"admitted\""),
            poll_after: Duration::from_millis(number("\"poll_after_ms\":").unwrap_or(0)),
            ticket: answer.ticket,
        })
    }
}
