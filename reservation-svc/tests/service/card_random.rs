//! I14–I16 under random operations by wallet and card, with a gateway that fails at random: afterwards all books agree.

use std::time::Duration;

use futures_util::future::join_all;
use testbed::gateway::{Act, Gateway, Operation, Status, When};

use crate::bed::{Bed, Wishes, paying_at};

/// A small generator of our own, so that a seed gives the same operations for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

#[tokio::test]
async fn i16_every_book_agrees_after_random_operations_and_faults() {
    const SEED: u64 = 0xca5d_2026;
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(Wishes { gateway_timeout_ms: Some(500), ..paying_at(&gateway) }).await;
    join_all((1..=6_u64).map(|player| play(&bed, &gateway, Dice(SEED * player), player))).await;
    gateway.forget_scripts();
    bed.recovered(&gateway).await;
    let book = gateway.payments();
    let count = |status| book.iter().filter(|payment| payment.status == status).count();
    let seen = (count(Status::Captured) + count(Status::Refunded), count(Status::Voided), book.len());
    assert!(seen.0 > 0 && seen.1 > 0, "seed {SEED:#x}: {seen:?}: nothing was tested");
    let taken: i64 =
        book.iter().filter(|payment| payment.status == Status::Captured).map(|payment| payment.amount).sum();
    let sold = "SELECT coalesce(sum(s.price), 0) FROM reservation_seats s JOIN payments p USING (reservation_id) WHERE p.method = 'card'";
    assert_eq!(bed.sql(sold).await, taken.to_string(), "seed {SEED:#x}");
}

async fn play(bed: &Bed, gateway: &Gateway, mut dice: Dice, player: u64) {
    let user = i64::try_from(player % 4 + 1).unwrap();
    let (mut holds, mut bought): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        match dice.below(14) {
            0..=3 => {
                let seat = format!("{}-{}", dice.pick(&["V", "W", "X", "Y"]), dice.below(8) + 1);
                let answer = bed.hold(user, &[&seat]).await;
                assert!(matches!(answer.status, 201 | 409 | 422 | 503), "{}", answer.text());
                holds.extend(answer.json["hold_id"].as_str().map(str::to_owned));
            }
            4..=8 if !holds.is_empty() => {
                let hold = &holds[usize::try_from(dice.below(holds.len() as u64)).unwrap()];
                let key = format!("{hold}{}", dice.below(2));
                let answer = bed.card(user, hold, dice.pick(&["tok_1", "tok_2"])).key(&key).send().await;
                // 422: the key came with the other source before.
                assert!(matches!(answer.status, 201 | 402 | 409 | 422 | 503), "{}", answer.text());
                bought.extend(answer.json["reservation_id"].as_str().map(str::to_owned));
            }
            9 if !holds.is_empty() => {
                let hold = &holds[usize::try_from(dice.below(holds.len() as u64)).unwrap()];
                let answer = bed.pay(user, hold).await;
                assert!(matches!(answer.status, 201 | 402 | 409 | 503), "{}", answer.text());
                bought.extend(answer.json["reservation_id"].as_str().map(str::to_owned));
            }
            10 if !bought.is_empty() => {
                let id = bought.swap_remove(usize::try_from(dice.below(bought.len() as u64)).unwrap());
                let answer = bed.as_user(user, "POST", &format!("/reservations/{id}/cancel")).send().await;
                assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
            }
            11 if !holds.is_empty() => {
                let hold = holds.swap_remove(usize::try_from(dice.below(holds.len() as u64)).unwrap());
                let answer = bed.as_user(user, "DELETE", &format!("/holds/{hold}")).send().await;
                assert!(matches!(answer.status, 204 | 409 | 503), "{}", answer.text());
            }
            12 => bed.run_out().await,
            _ => {
                let operation =
                    dice.pick(&[Operation::Authorise, Operation::Capture, Operation::Void, Operation::Refund]);
                let act = match dice.below(5) {
                    0 => Act::Fail,
                    1 => Act::HangUp,
                    2 => Act::Twice,
                    3 => Act::Decline("no".to_owned()),
                    _ => Act::Delay(Duration::from_millis(dice.below(50))),
                };
                gateway.script(operation, dice.pick(&[When::Before, When::After]), act, 1);
            }
        }
    }
}
