//! Months of reservations: made ahead, detached when old, and a seat is sold once whatever month it lies in.

use reservation_svc::worker::Worker;
use testbed::wait;

use crate::bed::{Bed, DEADLINE};

const MONTHS: &str = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'reservations'::regclass";

#[tokio::test]
async fn i14_a_seat_is_sold_once_even_on_another_day() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    bed.pay(1, &hold).await;
    // A reservation of the same seat in another month: what an index of the partitioned table could not see.
    let other = "INSERT INTO reservations SELECT gen_random_uuid(), schedule_date + 40, schedule_id, user_id,
                 gen_random_uuid(), lines, amount, currency, created_at FROM reservations RETURNING id";
    let other = bed.sql(other).await;
    let again = format!(
        "INSERT INTO reservation_seats (schedule_id, seat_id, reservation_id, schedule_date, price)
         SELECT schedule_id, seat_id, '{other}', schedule_date + 40, price FROM reservation_seats"
    );
    let refused = bed.database.sql(&again).await.unwrap_err().to_string();
    assert!(refused.contains("reservation_seats_one_live_per_seat"), "{refused}");
}

#[tokio::test]
async fn a_worker_makes_months_and_detaches_old_ones_with_their_rows() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    let paid = bed.pay(1, &hold).await;
    // Four years ago somebody bought too; and nobody has made the last month of those ahead.
    bed.sql("SELECT create_reservation_partitions((current_date - interval '4 years')::date, 2)").await;
    bed.sql(
        "INSERT INTO reservations SELECT gen_random_uuid(), (current_date - interval '4 years')::date, schedule_id,
             user_id, gen_random_uuid(), lines, amount, currency, created_at FROM reservations",
    )
    .await;
    let newest = bed
        .sql(
            "SELECT max(inhrelid::regclass::text) FROM pg_inherits
                          WHERE inhparent = 'reservations'::regclass AND inhrelid::regclass::text ~ '[0-9]$'",
        )
        .await;
    bed.sql(&format!("DROP TABLE {newest}")).await;
    assert_eq!(bed.sql(MONTHS).await, "26");

    let worker = Worker::start(bed.worker_config("")).await.unwrap();
    let gone = "SELECT (SELECT count(*) FROM reservations), to_regclass($$".to_owned() + &newest + "$$) IS NOT NULL";
    wait::until("the old months to go and the new one to come", DEADLINE, || async { bed.sql(&gone).await == "1|t" })
        .await
        .unwrap();
    assert_eq!(bed.sql(MONTHS).await, "25", "the default and 24 months");
    let old = bed.sql("SELECT 'reservations_' || to_char(current_date - interval '4 years', 'YYYY_MM')").await;
    assert_eq!(bed.sql(&format!("SELECT count(*) FROM {old}")).await, "1", "the rows are still there");
    let path = format!("/reservations/{}", paid.json["reservation_id"].as_str().unwrap());
    assert_eq!(bed.as_user(1, "GET", &path).send().await.status, 200);
    worker.stop().await;
    bed.audit().await;
}

#[tokio::test]
async fn refused_payments_and_seats_of_no_reservation_and_reservations_that_go() {
    let bed = Bed::start().await;
    let hold = bed.held(1, &["A-1"]).await;
    bed.pay(1, &hold).await;
    for (sql, constraint) in [
        ("UPDATE payments SET reservation_id = gen_random_uuid()", "payments_reservation_exists"),
        ("UPDATE reservation_seats SET schedule_date = schedule_date + 1", "reservation_seats_reservation_exists"),
        ("DELETE FROM reservations", "can be neither deleted nor moved"),
        ("UPDATE reservations SET schedule_date = schedule_date + 40", "can be neither deleted nor moved"),
    ] {
        let refused = bed.database.sql(sql).await.unwrap_err().to_string();
        let said = constraint.contains(' ') || refused.contains("there is no reservation");
        assert!(said && (!constraint.contains(' ') || refused.contains(constraint)), "{sql}: {refused}");
    }
}
