//! What one visitor sees on the page, and whether it may be: the visitors' side of the history.

use std::time::Duration;

use waitroom_proxy::reception::Held;
use waitroom_proxy::status::Status;
use waitroom_proxy::store::{Epoch, Vid};

use super::history::History;

/// Promises about exact positions hold when the store has answered for this long.
const IN_TOUCH: Duration = Duration::from_secs(3);

/// The page of one identity: it begins anew with a new ticket.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    vid: Option<Vid>,
    number: Option<(Epoch, u64)>,
    /// The smallest position so far: what the page shows.
    shown: Option<u64>,
    /// The position told last, and when.
    told: Option<(Duration, u64)>,
}

impl Page {
    /// A status arrives.
    pub(super) fn update(&mut self, history: &History, held: &Held, status: &Status) {
        let (vid, now) = (held.ticket.vid, history.now());
        if self.vid != Some(vid) {
            *self = Self { vid: Some(vid), ..Self::default() };
        }
        if held.ticket.is_pre() {
            return;
        }
        let number = (held.ticket.epoch, held.ticket.seq);
        match self.number {
            Some((epoch, seq)) if epoch == number.0 && seq != number.1 => {
                history.break_promise("I4", format!("{vid} had number {seq} and was told {}", number.1));
            }
            _ => self.number = Some(number),
        }
        let Some(position) = status.position else { return };
        if position == 0 {
            history.break_promise("I5", format!("{vid} is told position 0"));
        }
        if !status.stale && history.calm_for(IN_TOUCH) {
            self.check_exact(history, number.1, position);
        }
        if let Some((then, before)) = self.told
            && position > before
            && history.calm_for(now - then + IN_TOUCH)
        {
            let most = history.possible_rise(number.1, now - then);
            if position - before > most {
                history.break_promise(
                    "I5",
                    format!("number {} went from position {before} to {position}; {most} more would be true", number.1),
                );
            }
        }
        self.told = Some((now, position));
        self.shown = Some(self.shown.map_or(position, |shown| shown.min(position)));
    }

    fn check_exact(&self, history: &History, seq: u64, position: u64) {
        // Not in line any more: about to learn of a turn.
        let Some((least, most)) = history.possible_positions(seq) else { return };
        if !(least..=most).contains(&position) {
            history.break_promise("I5", format!("number {seq} is told {position}; {least} to {most} would be true"));
        }
    }
}
