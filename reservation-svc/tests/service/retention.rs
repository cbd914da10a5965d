//! What is over is removed when its time has come, and nothing else.

use testbed::gateway::{Act, Gateway, Operation, When};

use crate::bed::{self, Bed, paying_at};

#[tokio::test]
async fn holds_that_came_to_nothing_go_and_others_stay() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let paid = bed.held(1, &["A-1"]).await;
    assert_eq!(bed.pay(1, &paid).await.status, 201);
    let declined = bed.held(2, &["A-2"]).await;
    gateway.script(Operation::Authorise, When::Before, Act::Decline("no".to_owned()), 1);
    bed.card(2, &declined, "tok").send().await.assert_problem(402, "payment-declined");
    let released = bed.held(3, &["A-3"]).await;
    for (user, hold) in [(2, &declined), (3, &released)] {
        assert_eq!(bed.as_user(user, "DELETE", &format!("/holds/{hold}")).send().await.status, 204);
    }
    let ran_out = bed.held(4, &["A-4"]).await;
    let ledger = bed::ledger(&bed.database.url());
    bed.sql(&format!("UPDATE seat_holds SET expires_at = now() WHERE id = '{ran_out}'")).await;
    bed.sql("UPDATE concert_seats SET held_until = now() WHERE seat = 'A-4' AND schedule_id = 1").await;
    assert_eq!(ledger.sweep_holds(10).await.unwrap().expired, 1);
    let live = bed.held(5, &["A-5"]).await;

    assert_eq!(ledger.prune_holds(7).await.unwrap(), 0, "they are young");
    bed.sql("UPDATE seat_holds SET ended_at = ended_at - interval '8 days'").await;
    assert_eq!(ledger.prune_holds(9).await.unwrap(), 0);
    assert_eq!(ledger.prune_holds(7).await.unwrap(), 2);
    let left = bed.sql("SELECT string_agg(id::text, ' ' ORDER BY user_id) FROM seat_holds").await;
    assert_eq!(left, format!("{paid} {declined} {live}"));
    bed.as_user(3, "GET", &format!("/holds/{released}")).send().await.assert_problem(404, "hold-not-found");
    assert_eq!(bed.pay(5, &live).await.status, 201);
}

#[tokio::test]
async fn queue_sessions_are_forgotten_when_nobody_can_come_back_with_them() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    bed.pay(1, &hold).await;
    let ledger = bed::ledger(&bed.database.url());
    assert_eq!(ledger.prune_queue_tokens(30).await.unwrap(), 0);
    bed.sql("UPDATE queue_tokens SET last_used_at = last_used_at - interval '31 days'").await;
    assert_eq!(ledger.prune_queue_tokens(30).await.unwrap(), 1);
    assert_eq!(bed.sql("SELECT count(*) FROM queue_tokens").await, "0");
}
