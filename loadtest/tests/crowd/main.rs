//! Whole runs against a site that plays the contract, honest and cheating.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod site;

use std::{collections::BTreeSet, process::Output};

use serde_json::Value;
use site::{Cheat, Site};
use tokio::process::Command;

const VISITORS: usize = 60;

/// The exit code, and the JSON report.
async fn crowd(site: &Site, flags: &[&str]) -> (i32, Value, Output) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--url", &site.url(), "--visitors", &VISITORS.to_string(), "--arrive", "0.3", "--think-ms", "2"])
        .args(["--seed", "11", "--users", "1-25", "--json"])
        .arg(&json)
        .args(if flags.contains(&"--users-secret") { &[][..] } else { &["--bearer-template", "Dev {user}"] })
        .args(flags)
        .output()
        .await
        .unwrap();
    let report = std::fs::read(&json).map(|json| serde_json::from_slice(&json).unwrap()).unwrap_or_default();
    (output.status.code().unwrap(), report, output)
}

fn broken(report: &Value) -> BTreeSet<&str> {
    report["audit"]["broken"].as_array().unwrap().iter().map(|broken| broken["invariant"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_honest_site_passes_and_everything_is_accounted_for() {
    let site = Site::start(Cheat::Nothing).await;
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history.jsonl");
    let (code, report, output) = crowd(&site, &["--buy-ratio", "0.8", "--history", history.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((report["entered"].clone(), report["lined_up"].clone()), (VISITORS.into(), VISITORS.into()));
    assert_eq!(report["errors"], serde_json::json!({}));
    let ended: u64 = report["outcomes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(ended, VISITORS as u64);

    let state = site.state.lock().unwrap();
    let sold = state.reservations.values().map(Vec::len).sum::<usize>();
    let booked = report["booked"].as_u64().unwrap() as usize;
    assert!(booked > 5, "{report:#}");
    assert_eq!((sold, state.left), (booked, VISITORS));
    let audit = &report["audit"];
    assert_eq!((&audit["reservations_confirmed"], &audit["wallets_checked"]), (&booked.into(), &booked.into()));
    assert_eq!((&audit["seats_sold"], &audit["tickets"]), (&report["seats_booked"], &VISITORS.into()));
    assert!(String::from_utf8(output.stdout).unwrap().contains("every invariant held"));

    let lines = std::fs::read_to_string(&history).unwrap();
    assert_eq!(lines.lines().count(), VISITORS);
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let seen = line["seen"].as_array().unwrap();
        assert_eq!((seen[0]["what"].as_str(), seen[0]["status"].as_u64()), (Some("page"), Some(200)));
        assert!(seen.iter().any(|seen| seen["state"] == "admitted") && line["outcome"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn i14_a_planted_double_sale_makes_the_audit_fail() {
    let site = Site::start(Cheat::DoubleSale).await;
    let (code, report, output) = crowd(&site, &["--buy-ratio", "1"]).await;
    assert_eq!((code, broken(&report)), (1, ["I14"].into()), "{report:#}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("INVARIANTS BROKEN") && table.contains("is sold twice"), "{table}");
}

#[tokio::test]
async fn every_other_cheat_is_found_by_its_number() {
    for (cheat, invariant) in [
        (Cheat::ForgetsReservations, "told"),
        (Cheat::WrongBalance, "I16"),
        (Cheat::PositionRises, "I5"),
        (Cheat::SharedNumbers, "I4"),
    ] {
        let site = Site::start(cheat).await;
        let (code, report, _) = crowd(&site, &["--buy-ratio", "1"]).await;
        assert_eq!((code, broken(&report)), (1, [invariant].into()), "{cheat:?} {report:#}");
    }
}

#[tokio::test]
async fn a_lost_session_is_queued_for_again() {
    let site = Site::start(Cheat::LosesSessions).await;
    let (code, report, _) = crowd(&site, &["--buy-ratio", "1"]).await;
    assert_eq!((code, report["errors"].clone()), (0, serde_json::json!({})), "{report:#}");
    assert_eq!(report["sessions_lost"], 3);
}

#[tokio::test]
async fn an_overload_is_asked_again_and_nothing_is_done_twice() {
    let site = Site::start(Cheat::Overloaded).await;
    let (code, report, _) = crowd(&site, &["--buy-ratio", "1"]).await;
    assert_eq!((code, report["errors"].clone()), (0, serde_json::json!({})), "{report:#}");
    for what in ["page", "hold", "pay", "leave"] {
        assert_eq!(report["retries"][what], 1, "{what} {report:#}");
    }
}

#[tokio::test]
async fn a_session_that_ends_with_the_purchase_is_said_not_to_be_audited() {
    let site = Site::start(Cheat::EndsWithPurchase).await;
    let (code, report, _) = crowd(&site, &["--buy-ratio", "1"]).await;
    assert_eq!(code, 0, "{report:#}");
    let not_audited = &report["audit"]["not_audited"]["the session ended with the purchase"];
    assert_eq!((not_audited, &report["audit"]["wallets_checked"]), (&report["booked"], &0.into()));
}

#[tokio::test]
async fn wallets_are_read_at_the_service_itself_when_its_address_is_known() {
    let site = Site::start(Cheat::EndsWithPurchase).await;
    let (code, report, _) = crowd(&site, &["--buy-ratio", "1", "--audit-url", &site.url()]).await;
    assert_eq!((code, report["errors"].clone()), (0, serde_json::json!({})), "{report:#}");
    assert_eq!(report["audit"]["wallets_checked"], report["booked"]);
}

#[tokio::test]
async fn bad_flags_and_a_dead_site_get_a_sentence() {
    let site = Site::start(Cheat::Nothing).await;
    let (code, _, output) = crowd(&site, &["--buy-ratio", "2"]).await;
    assert_eq!(code, 64);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "loadtest: --buy-ratio must be from 0 to 1, not 2\n");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", "--buy-ratio", "0", "--url", &dead])
        .output()
        .await
        .unwrap();
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(sentence.contains(&format!("nobody answers at {dead}")) && sentence.contains("refused"), "{sentence}");
}

#[tokio::test]
async fn any_site_can_be_looked_at_without_users() {
    let site = Site::start(Cheat::Nothing).await;
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args([
            "run",
            "--buy-ratio",
            "0",
            "--visitors",
            "20",
            "--arrive",
            "0.1",
            "--think-ms",
            "1",
            "--url",
            &site.url(),
        ])
        .output()
        .await
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(table.contains("browsed: 20"), "{table}");
}
