//! What a status looks like in words. The page's script says the same; see `eta` there. Pure.

use crate::status::{Eta, State, Status};

use super::texts::{EtaTexts, LiveTexts};

/// Who may be let in within this time is told to stay close.
const NEAR_S: u64 = 30;

/// What the page is about at the moment; stands in `data-view`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// No place yet.
    Joining,
    Waiting,
    /// Let in any moment.
    Near,
    Paused,
    Admitted,
    Left,
}

impl View {
    pub(super) fn of(status: &Status) -> Self {
        match (status.state, status.position) {
            (State::Admitted, _) => Self::Admitted,
            (State::None, _) => Self::Left,
            (State::Waiting, _) if status.paused => Self::Paused,
            (State::Waiting, None) => Self::Joining,
            (State::Waiting, Some(_)) if status.eta_s.is_some_and(|eta| eta.high <= NEAR_S) => Self::Near,
            (State::Waiting, Some(_)) => Self::Waiting,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Waiting => "waiting",
            Self::Near => "near",
            Self::Paused => "paused",
            Self::Admitted => "admitted",
            Self::Left => "left",
        }
    }
}

/// `1234567` → `1,234,567`: so in all our languages.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The position as it is shown; a dash while there is none.
pub(super) fn position(status: &Status) -> String {
    status.position.map_or_else(|| "–".to_owned(), grouped)
}

/// How many wait; a dash as long as the visitor has no place either.
pub(super) fn waiting(status: &Status) -> String {
    // A snapshot may be older than the ticket: nobody is behind the end of the line.
    status.position.map_or_else(|| "–".to_owned(), |position| grouped(status.waiting.max(position)))
}

/// `1,234 · Waiting – Concert`: the figure comes first, since tabs are narrow.
pub(super) fn title(status: &Status, label: &str, texts: &LiveTexts) -> String {
    let view = View::of(status);
    let what = texts.view(view).title.as_str();
    let what = if label.is_empty() { what.to_owned() } else { format!("{what} – {label}") };
    match (view, status.position) {
        (View::Waiting | View::Near | View::Paused, Some(position)) => format!("{} · {what}", grouped(position)),
        _ => what,
    }
}

/// A range of time in words, coarse enough not to flicker.
pub(super) fn eta(eta: Option<Eta>, texts: &EtaTexts) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 3_600;
    let Some(Eta { low, high }) = eta else { return texts.unknown.clone() };
    if high < MINUTE {
        texts.moment.clone()
    } else if high <= 90 * MINUTE {
        let (low, high) = ((low / MINUTE).max(1), high.div_ceil(MINUTE));
        let low = if low > 10 { low / 5 * 5 } else { low };
        let high = if high > 10 { high.next_multiple_of(5) } else { high };
        range(low, high, &texts.minute, &texts.minutes, &texts.minutes_range)
    } else if low < 24 * HOUR {
        range((low / HOUR).max(1), high.div_ceil(HOUR), &texts.hour, &texts.hours, &texts.hours_range)
    } else {
        texts.day.clone()
    }
}

fn range(low: u64, high: u64, one: &str, many: &str, range: &str) -> String {
    match (low, high) {
        (1, 1) => one.to_owned(),
        (low, high) if low >= high => many.replace("{n}", &grouped(high)),
        _ => range.replace("{low}", &grouped(low)).replace("{high}", &grouped(high)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{lang::Lang, texts::Texts};
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, shown) in
            [(0, "0"), (12, "12"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")]
        {
            assert_eq!(grouped(number), shown);
        }
    }

    #[test]
    fn times_are_ranges_in_words() {
        let texts = Texts::read(Lang::En).unwrap().live.eta;
        for (low, high, words) in [
            (0, 5, "less than a minute"),
            (30, 59, "less than a minute"),
            (50, 60, "about 1 minute"),
            (60, 61, "about 1–2 minutes"),
            (180, 290, "about 3–5 minutes"),
            (240, 240, "about 4 minutes"),
            (500, 700, "about 8–15 minutes"),
            (3_000, 3_600, "about 50–60 minutes"),
            (3_000, 6_000, "about 1–2 hours"),
            (7_200, 7_200, "about 2 hours"),
            (80_000, 90_000, "about 22–25 hours"),
            (90_000, 95_000, "more than a day"),
        ] {
            assert_eq!(eta(Some(Eta { low, high }), &texts), words, "{low}–{high} s");
        }
        assert_eq!(eta(None, &texts), texts.unknown);
    }
}
