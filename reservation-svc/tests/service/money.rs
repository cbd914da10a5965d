//! Wallets: I16 under random operations, pages of the ledger.

use futures_util::future::join_all;

use crate::bed::Bed;

/// A small generator of our own, so that a seed gives the same operations for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[tokio::test]
async fn i16_wallet_equals_ledger() {
    const SEED: u64 = 0x5eed_2026;
    let bed = Bed::start().await;
    // Few users and few seats, so that they get in each other's way.
    let players = (1..=6_u64).map(|player| play(&bed, Dice(SEED * player), player));
    join_all(players).await;
    bed.audit().await;
    let paid: u64 = bed.sql("SELECT count(*) FROM payments").await.parse().unwrap();
    assert!(paid > 0, "seed {SEED}: nothing was ever paid, so nothing was tested");
    let (spent, seats) = (
        "SELECT -sum(amount) FROM wallet_transactions WHERE kind = 'payment'",
        "SELECT sum(price) FROM reservation_seats",
    );
    assert_eq!(bed.sql(spent).await, bed.sql(seats).await, "seed {SEED}");
}

async fn play(bed: &Bed, mut dice: Dice, player: u64) {
    let user = i64::try_from(player % 4 + 1).unwrap();
    let mut holds: Vec<String> = Vec::new();
    for _ in 0..40 {
        match dice.below(10) {
            0..=3 => {
                let row = ["V", "W", "X", "Y"][usize::try_from(dice.below(4)).unwrap()];
                let first = dice.below(6) + 1;
                let seats: Vec<String> = (0..=dice.below(3)).map(|n| format!("{row}-{}", first + n)).collect();
                let answer = bed.hold(user, &seats.iter().map(String::as_str).collect::<Vec<_>>()).await;
                assert!(matches!(answer.status, 201 | 409 | 422), "{}", answer.text());
                holds.extend(answer.json["hold_id"].as_str().map(str::to_owned));
            }
            4..=6 if !holds.is_empty() => {
                let hold = &holds[usize::try_from(dice.below(holds.len() as u64)).unwrap()];
                let answer = bed.pay(user, hold).await;
                assert!(matches!(answer.status, 201 | 402 | 409), "{}", answer.text());
            }
            7 if !holds.is_empty() => {
                let hold = holds.swap_remove(usize::try_from(dice.below(holds.len() as u64)).unwrap());
                let answer = bed.as_user(user, "DELETE", &format!("/holds/{hold}")).send().await;
                assert!(matches!(answer.status, 204 | 409), "{}", answer.text());
            }
            8 => bed.run_out().await,
            _ => {
                let body = serde_json::json!({ "amount": dice.below(50_000) + 1 });
                let answer = bed.as_user(user, "POST", "/wallet/charges").json(&body).send().await;
                assert_eq!(answer.status, 201, "{}", answer.text());
            }
        }
    }
}

#[tokio::test]
async fn the_ledger_is_shown_in_pages_newest_first() {
    let bed = Bed::start().await;
    for amount in 1..=4 {
        let charged =
            bed.as_user(9, "POST", "/wallet/charges").json(&serde_json::json!({ "amount": amount })).send().await;
        assert_eq!(charged.status, 201);
        assert_eq!(charged.json["amount"], amount);
    }
    let first = bed.as_user(9, "GET", "/wallet/transactions?limit=3").send().await;
    let amounts = |page: &crate::client::Answer| -> Vec<i64> {
        page.json["transactions"].as_array().unwrap().iter().map(|line| line["amount"].as_i64().unwrap()).collect()
    };
    assert_eq!(amounts(&first), [4, 3, 2]);
    let path = format!("/wallet/transactions?limit=3&cursor={}", first.json["next_cursor"].as_str().unwrap());
    let second = bed.as_user(9, "GET", &path).send().await;
    assert_eq!(amounts(&second), [1, 1_000_000]);
    assert!(second.json["next_cursor"].is_null());
    assert_eq!(bed.as_user(9, "GET", "/wallet").send().await.json["balance"], 1_000_010);
}
