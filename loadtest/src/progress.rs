//! What is shown while the run goes on: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::tally::Tally;

/// Between two redraws of the bar, and between two lines.
const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows progress until it is dropped (its task is aborted by the caller).
pub(crate) async fn show(tally: Arc<Tally>, visitors: usize) {
    if std::io::stderr().is_terminal() {
        bar(&tally, visitors).await;
    } else {
        lines(&tally, visitors).await;
    }
}

async fn bar(tally: &Tally, visitors: usize) {
    let bar = ProgressBar::with_draw_target(Some(visitors as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} done · {msg}") {
        bar.set_style(style);
    }
    loop {
        bar.set_position(tally.finished.load(Relaxed));
        bar.set_message(now(tally));
        tokio::time::sleep(BAR_EVERY).await;
    }
}

async fn lines(tally: &Tally, visitors: usize) {
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        let line = format!("{}/{visitors} done · {}\n", tally.finished.load(Relaxed), now(tally));
        // Nobody reads it any more: no reason to stop the run.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

fn now(tally: &Tally) -> String {
    format!(
        "{} in line · {} inside · {} entered · {} booked · {} lost requests",
        tally.in_line.load(Relaxed),
        tally.inside.load(Relaxed),
        tally.entered.load(Relaxed),
        tally.booked.load(Relaxed),
        tally.failed.load(Relaxed)
    )
}
