//! One line of the graph for each second; plain text that is as good in a log as at a terminal.

use std::time::Duration;

use super::Look;
use crate::say;

/// Columns of the longest bar.
const BAR_COLUMNS: f64 = 40.0;

/// Seconds between two lines while nothing happens: a demo may be left alone for hours.
const QUIET_S: u64 = 30;

/// Draws lines, and leaves out those that say nothing new.
#[derive(Debug, Default)]
pub(super) struct Drawer {
    last: Option<(u64, Look)>,
    /// The fastest second so far: the bars never shrink under what is on the screen already.
    most_per_s: f64,
}

impl Drawer {
    /// Draws the admissions from the first look to the last.
    pub(super) fn draw(&mut self, elapsed: Duration, looks: &[Look]) {
        let [first, .., last] = looks else { return };
        let now_s = elapsed.as_secs();
        if let Some((drawn_s, drawn)) = self.last {
            if drawn.rate_per_s.to_bits() != last.rate_per_s.to_bits() {
                println!("{:>6}  the rate is now {} a second (was {})", "", last.rate_per_s, drawn.rate_per_s);
            }
            let same = Look { as_of_ms: last.as_of_ms, ..drawn } == *last;
            if same && first.admitted_total == last.admitted_total && now_s < drawn_s + QUIET_S {
                return;
            }
        }
        self.last = Some((now_s, *last));
        let over_s = last.as_of_ms.saturating_sub(first.as_of_ms).max(1) as f64 / 1000.0;
        let per_s = last.admitted_total.saturating_sub(first.admitted_total) as f64 / over_s;
        self.most_per_s = self.most_per_s.max(per_s).max(last.rate_per_s);
        let bar = say::coloured(&bar(per_s / self.most_per_s), "32");
        println!(
            "{now_s:>4} s  {per_s:>7.1}/s admitted {bar}  waiting {:>6}  active {:>5}  admitted {:>6}",
            last.waiting,
            last.active + last.granted,
            last.admitted_total
        );
    }
}

/// A bar for a share of the longest, padded to full width.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * BAR_COLUMNS * 8.0).round() as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    let bar = "█".repeat(eighths / 8) + rest;
    format!("{bar:<width$}", width = BAR_COLUMNS as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_share_and_always_as_wide() {
        assert_eq!(bar(0.0).trim(), "");
        assert_eq!(bar(0.5).trim(), "█".repeat(20));
        assert_eq!(bar(0.5 + 1.0 / 320.0).trim(), format!("{}▏", "█".repeat(20)));
        assert!([0.0, 0.33, 1.0, 7.0].iter().all(|share| bar(*share).chars().count() == 40));
    }
}
