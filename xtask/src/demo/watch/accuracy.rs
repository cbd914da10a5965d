//! How well admissions kept the rate while somebody waited, by the store's own counter and clock.

use super::Look;

/// Shorter waits say nothing: at ten looks the granularity of the tick is part of the result.
const LEAST_MS: u64 = 3000;

/// The longest stretch in which somebody waited all the time and the rate was the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kept {
    /// What was configured, visitors per second.
    pub(crate) rate_per_s: f64,
    /// What was measured, visitors per second.
    pub(crate) measured_per_s: f64,
    /// Over how long, by the store's clock.
    pub(crate) over_s: f64,
}

impl Kept {
    /// How far off, in percent of the rate.
    pub(crate) fn off_percent(&self) -> f64 {
        (self.measured_per_s / self.rate_per_s - 1.0) * 100.0
    }
}

/// Measures the longest such stretch; `None` when nobody waited for long enough.
pub(crate) fn of(looks: &[Look]) -> Option<Kept> {
    let stretches = looks.chunk_by(|one, next| {
        one.waiting > 0 && next.waiting > 0 && one.rate_per_s.to_bits() == next.rate_per_s.to_bits()
    });
    let longest = stretches.max_by_key(|stretch| duration_ms(stretch))?;
    let (first, last) = (longest.first()?, longest.last()?);
    let over_ms = duration_ms(longest);
    if over_ms < LEAST_MS {
        return None;
    }
    let over_s = over_ms as f64 / 1000.0;
    let admitted = last.admitted_total.saturating_sub(first.admitted_total);
    Some(Kept { rate_per_s: first.rate_per_s, measured_per_s: admitted as f64 / over_s, over_s })
}

fn duration_ms(stretch: &[Look]) -> u64 {
    match stretch {
        [first, .., last] => last.as_of_ms.saturating_sub(first.as_of_ms),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(second: u64, admitted_total: u64, waiting: u64, rate_per_s: f64) -> Look {
        Look { as_of_ms: second * 1000, admitted_total, waiting, granted: 0, active: 0, rate_per_s }
    }

    #[test]
    fn only_the_time_in_which_somebody_waits_counts() {
        // The burst before and the empty room after must not.
        let mut looks = vec![look(0, 0, 0, 50.0), look(1, 25, 0, 50.0)];
        looks.extend((2..12).map(|second| look(second, 25 + (second - 2) * 50, 100, 50.0)));
        looks.extend((12..40).map(|second| look(second, 480, 0, 50.0)));
        let kept = of(&looks).unwrap();
        assert_eq!((kept.measured_per_s, kept.over_s), (50.0, 9.0));
        assert!(kept.off_percent().abs() < 1e-9);
    }

    #[test]
    fn a_changed_rate_begins_a_new_stretch() {
        let mut looks: Vec<Look> = (0..5).map(|second| look(second, second * 10, 9, 10.0)).collect();
        looks.extend((5..25).map(|second| look(second, 40 + (second - 5) * 100, 9, 100.0)));
        assert_eq!(of(&looks).unwrap().rate_per_s, 100.0);
    }

    #[test]
    fn nobody_waiting_is_no_measurement() {
        assert_eq!(of(&[look(0, 0, 0, 5.0), look(9, 9, 0, 5.0)]), None);
        assert_eq!(of(&[look(0, 0, 1, 5.0), look(1, 9, 1, 5.0)]), None);
        assert_eq!(of(&[]), None);
    }
}
