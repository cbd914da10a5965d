//! What is to be done at the gateway next, from what is owed to it and how the payment stands there. Pure.

use super::Standing;

/// What is owed to the gateway after our own commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// The seats are sold: the money is to be taken.
    Capture,
    /// Nothing was sold: nothing may stay set aside.
    Void,
    /// The sale was cancelled: nothing may stay taken.
    Refund,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask to take the money.
    Capture,
    /// Ask to let it go.
    Void,
    /// Ask to give it back.
    Refund,
    /// What was owed is done.
    Done,
    /// It can not be done: a person has to look.
    Stuck,
}

impl Owed {
    /// What to do for a payment that stands like this; `None`: the gateway never heard of it.
    pub fn next(self, standing: Option<&Standing>) -> Step {
        match (self, standing) {
            (Self::Capture, Some(Standing::Authorised)) => Step::Capture,
            (Self::Capture, Some(Standing::Captured)) => Step::Done,
            // Seats were sold, and the gateway does not stand by its word.
            (Self::Capture, _) => Step::Stuck,

            // Never heard of: an authorisation may still be on its way, and must find the door shut.
            (Self::Void, None) => Step::Void,
            (Self::Void | Self::Refund, Some(Standing::Authorised)) => Step::Void,
            // Void: nobody asked for the capture, and the buyer has nothing for it.
            (Self::Void | Self::Refund, Some(Standing::Captured)) => Step::Refund,
            (Self::Void | Self::Refund, Some(Standing::Voided | Standing::Refunded | Standing::Declined { .. })) => {
                Step::Done
            }

            // Money was given for this sale, and the gateway does not know of any.
            (Self::Refund, None) => Step::Stuck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_debt_ends_in_two_steps_or_is_stuck() {
        let declined = Standing::Declined { reason: "no".to_owned() };
        let all = [
            None,
            Some(Standing::Authorised),
            Some(declined),
            Some(Standing::Captured),
            Some(Standing::Voided),
            Some(Standing::Refunded),
        ];
        for owed in [Owed::Capture, Owed::Void, Owed::Refund] {
            for standing in &all {
                let after = match owed.next(standing.as_ref()) {
                    Step::Done | Step::Stuck => continue,
                    Step::Capture => Standing::Captured,
                    Step::Void => Standing::Voided,
                    Step::Refund => Standing::Refunded,
                };
                assert_eq!(owed.next(Some(&after)), Step::Done, "{owed:?} from {standing:?}");
            }
        }
    }

    #[test]
    fn i15_money_is_taken_only_for_a_sale() {
        for owed in [Owed::Void, Owed::Refund] {
            for standing in [None, Some(Standing::Authorised), Some(Standing::Captured), Some(Standing::Voided)] {
                assert_ne!(owed.next(standing.as_ref()), Step::Capture, "{owed:?} {standing:?}");
            }
        }
        assert_eq!(Owed::Capture.next(Some(&Standing::Voided)), Step::Stuck);
        assert_eq!(Owed::Capture.next(None), Step::Stuck);
        assert_eq!(Owed::Refund.next(None), Step::Stuck);
    }
}
