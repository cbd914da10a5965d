//! The service itself killed, and Postgres killed or unheard, at every step of a payment by card: F13, F5.

use testbed::gateway::{Act, Gateway, Operation, When};
use testbed::ports::Reserved;
use testbed::postgres::PrivatePostgres;
use testbed::process::Program;
use testbed::wait;
use testbed::wire::Wire;

use crate::audit::assert_settled;
use crate::bed::{self, Bed, DEADLINE, Wishes, paying_at};
use crate::client::{Answer, Client};

/// Every moment at which the gateway can say that a payment has come so far.
const MOMENTS: [(Operation, When); 4] = [
    (Operation::Authorise, When::Before),
    (Operation::Authorise, When::After),
    (Operation::Capture, When::Before),
    (Operation::Capture, When::After),
];

#[tokio::test]
async fn the_service_killed_at_every_step_leaves_nothing_undone() {
    let gateway = Gateway::start().await.unwrap();
    let bed = Bed::with(paying_at(&gateway)).await;
    let file = bed.secrets.path().join("r.toml");
    std::fs::write(&file, &bed.config).unwrap();
    for (at, (operation, when)) in MOMENTS.into_iter().enumerate() {
        let (port, admin) = (Reserved::new().unwrap(), Reserved::new().unwrap());
        let program = Program::new(env!("CARGO_BIN_EXE_reservation-svc")).arg("serve").arg("--config").arg(&file);
        let listen = ["--listen", &port.addr().to_string(), "--admin-listen", &admin.addr().to_string()];
        let child = program.args(listen).start().unwrap();
        child.wait_for_port(port.addr(), DEADLINE).await.unwrap();
        let hold = bed.held(1, &[&format!("A-{}", at + 1)]).await;
        gateway.script(operation, when, Act::Wait, 1);
        let victim = Client::to(port.addr());
        let body = serde_json::json!({ "hold_id": hold, "payment": { "method": "card", "source": "tok" } });
        let request = victim.request("POST", "/reservations").header("authorization", &bed::bearer(1));
        let request = request.header("x-queue-token", &bed.token("v1")).json(&body);
        let kill = async {
            gateway.waiting(DEADLINE).await.unwrap();
            child.kill().await.unwrap();
        };
        let (answer, ()) = tokio::join!(request.try_send(), kill);
        // Once the capture is asked for, the answer may be out or not.
        assert!(answer.is_err() || operation == Operation::Capture, "{operation:?} {when:?}");
        gateway.go_on();
        wait::until("the gateway to go on", DEADLINE, || async { !gateway.is_waiting() }).await.unwrap();
        bed.recovered(&gateway).await;
        let sold = if operation == Operation::Capture { "1" } else { "0" };
        let count = format!("SELECT count(*) FROM reservations WHERE hold_id = '{hold}'");
        assert_eq!(bed.sql(&count).await, sold, "{operation:?} {when:?}");
    }
}

#[tokio::test]
async fn f13_postgres_killed_at_every_step_of_a_payment_by_card() {
    let gateway = Gateway::start().await.unwrap();
    let server: &'static PrivatePostgres = Box::leak(Box::new(PrivatePostgres::start().await.unwrap()));
    let bed = Bed::on(bed::seeded(server).await, paying_at(&gateway)).await;
    for (at, (operation, when)) in MOMENTS.into_iter().enumerate() {
        let hold = held(&bed, at + 1).await;
        gateway.script(operation, when, Act::Wait, 1);
        let kill = async {
            gateway.waiting(DEADLINE).await.unwrap();
            server.kill().await.unwrap();
            gateway.go_on();
        };
        let (answer, ()) = tokio::join!(bed.card(1, &hold, "tok").key(&hold).send(), kill);
        if operation == Operation::Authorise {
            answer.assert_problem(503, "database-unavailable");
        } else {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        server.restart().await.unwrap();
        let paid = again_until_answered(&bed, &hold).await;
        assert_eq!(paid.status, 201, "{operation:?} {when:?}: {}", paid.text());
        bed.recovered(&gateway).await;
    }
    assert_eq!(gateway.payments().len(), MOMENTS.len());
    server.kill().await.unwrap();
}

#[tokio::test]
async fn f5_the_reply_to_the_commit_is_lost() {
    let gateway = Gateway::start().await.unwrap();
    let database = bed::seeded(testbed::postgres::shared().await).await;
    let wire = Wire::to(testbed::postgres::shared().await.addr()).await.unwrap();
    let wishes = Wishes { database_url: Some(database.url_via(wire.addr())), connections: 1, ..paying_at(&gateway) };
    let bed = Bed::on(database, wishes).await;
    // The commit's statement is known on the connection after the first, so that all of it goes out in one message.
    for at in 1..=10 {
        let hold = held(&bed, at).await;
        gateway.script(Operation::Authorise, When::After, Act::Wait, 1);
        let lose = async {
            gateway.waiting(DEADLINE).await.unwrap();
            if at > 1 {
                wire.lose_replies().await.unwrap();
            }
            gateway.go_on();
        };
        let (answer, ()) = tokio::join!(bed.card(1, &hold, "tok").key(&hold).send(), lose);
        let committed = bed.sql(&format!("SELECT count(*) FROM reservations WHERE hold_id = '{hold}'")).await == "1";
        wire.mend().await.unwrap();
        if at > 1 {
            answer.assert_problem(503, "database-unavailable");
        }
        assert_eq!(again_until_answered(&bed, &hold).await.status, 201);
        bed.recovered(&gateway).await;
        assert_eq!(gateway.payments().len(), at);
        if at > 1 && committed {
            return;
        }
    }
    panic!("no reply was lost after its commit: nothing was tested");
}

#[tokio::test]
async fn f5_the_reply_to_the_beginning_is_lost() {
    let gateway = Gateway::start().await.unwrap();
    let database = bed::seeded(testbed::postgres::shared().await).await;
    let wire = Wire::to(testbed::postgres::shared().await.addr()).await.unwrap();
    let wishes = Wishes { database_url: Some(database.url_via(wire.addr())), ..paying_at(&gateway) };
    let bed = Bed::on(database, wishes).await;
    let hold = held(&bed, 1).await;
    wire.lose_replies().await.unwrap();
    bed.card(1, &hold, "tok").key(&hold).send().await.assert_problem(503, "database-unavailable");
    assert_eq!(gateway.payments(), [], "nothing is asked for that may not be written down");
    wire.mend().await.unwrap();
    assert_eq!(again_until_answered(&bed, &hold).await.status, 201);
    assert_settled(&bed, &gateway).await;
}

/// A hold of user 1, who never meets the limit of seats here.
async fn held(bed: &Bed, at: usize) -> String {
    let seat = format!("A-{at}");
    wait::until_some("a hold", DEADLINE, || async {
        let answer = bed.hold(1, &[&seat]).await;
        answer.json["hold_id"].as_str().map(str::to_owned)
    })
    .await
    .unwrap()
}

/// What a client does that was told to come again: the same request with the same key.
async fn again_until_answered(bed: &Bed, hold: &str) -> Answer {
    wait::until_some("an answer other than 503", DEADLINE, || async {
        Some(bed.card(1, hold, "tok").key(hold).send().await).filter(|answer| answer.status != 503)
    })
    .await
    .unwrap()
}
