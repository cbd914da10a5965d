//! The private Postgres: templates, clones, and a crash that loses nothing committed.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::sync::atomic::{AtomicU32, Ordering};

use testbed::postgres::{PrivatePostgres, shared};

/// Makes the template `items` once, and counts how often it really is made.
async fn items(postgres: &PrivatePostgres, made: &AtomicU32) {
    let prepare = async |_url: String| {
        made.fetch_add(1, Ordering::SeqCst);
        postgres.sql("items", "CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1), (2)").await
    };
    postgres.create_template("items", prepare).await.unwrap();
}

#[tokio::test]
async fn clones_start_alike_and_are_apart() {
    let postgres = shared().await;
    let made = AtomicU32::new(0);
    tokio::join!(items(postgres, &made), items(postgres, &made));
    assert!(made.load(Ordering::SeqCst) <= 1, "a template was made twice");
    let (one, two) = tokio::join!(postgres.database_from("items"), postgres.database_from("items"));
    let (one, two) = (one.unwrap(), two.unwrap());
    one.sql("DELETE FROM items").await.unwrap();
    assert_eq!(one.sql("SELECT count(*) FROM items").await.unwrap(), "0");
    assert_eq!(two.sql("SELECT count(*) FROM items").await.unwrap(), "2");
    assert!(one.url().contains("@127.0.0.1:") && one.url() != two.url());
}

#[tokio::test]
async fn a_template_that_failed_can_be_made_again() {
    let postgres = shared().await;
    let error = postgres.create_template("twice", async |_url| Err::<(), _>("no migration")).await.unwrap_err();
    assert!(error.to_string().contains("`twice` failed: no migration"), "{error}");
    let prepare = async |_url| postgres.sql("twice", "CREATE TABLE t ()").await.map(drop);
    postgres.create_template("twice", prepare).await.unwrap();
    postgres.database_from("twice").await.unwrap();
}

#[tokio::test]
async fn f13_a_crash_keeps_what_was_committed_and_the_address() {
    let postgres = PrivatePostgres::start().await.unwrap();
    postgres.sql("postgres", "CREATE TABLE kept AS SELECT 7 AS n").await.unwrap();
    let url = postgres.url("postgres");
    postgres.kill().await.unwrap();
    assert!(postgres.sql("postgres", "SELECT 1").await.is_err(), "a killed postgres answers");
    postgres.restart().await.unwrap();
    assert_eq!(postgres.url("postgres"), url);
    assert_eq!(postgres.sql("postgres", "SELECT n FROM kept").await.unwrap(), "7");
}

#[tokio::test]
async fn a_bad_statement_says_which_and_why() {
    let error = shared().await.sql("postgres", "SELEC 1").await.unwrap_err().to_string();
    assert!(error.contains("`SELEC 1`") && error.contains("syntax error"), "{error}");
}

#[tokio::test]
async fn a_clone_gives_out_no_number_twice_after_a_crash() {
    let postgres = PrivatePostgres::start().await.unwrap();
    let prepare = async |_url: String| {
        let table = "CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)";
        postgres.sql("numbers", table).await?;
        postgres.sql("numbers", "INSERT INTO numbered DEFAULT VALUES").await
    };
    postgres.create_template("numbers", prepare).await.unwrap();
    let clone = postgres.database_from("numbers").await.unwrap();
    clone.sql("INSERT INTO numbered DEFAULT VALUES").await.unwrap();
    postgres.kill().await.unwrap();
    postgres.restart().await.unwrap();
    clone.sql("INSERT INTO numbered DEFAULT VALUES").await.unwrap();
    let count = clone.sql("SELECT count(*) FROM numbered").await.unwrap();
    assert_eq!(count.trim(), "3");
}
