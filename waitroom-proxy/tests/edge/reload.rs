//! Changes while people wait: reload, and the end.

use testbed::origin::Origin;
use testbed::origin::Script;
use testbed::process::Signal;

use crate::harness::{Jar, PATIENCE, Proxy, room};

fn rewrite(proxy: &Proxy, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(&proxy.config).unwrap();
    // As editors do it: a new file takes the old one's name.
    let new = proxy.config.with_extension("new");
    std::fs::write(&new, change(&text)).unwrap();
    std::fs::rename(&new, &proxy.config).unwrap();
}

#[tokio::test]
async fn f24_a_changed_file_changes_the_rate_and_nobody_loses_a_place() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let before = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    rewrite(&proxy, |text| text.replace("rate_per_s = 0", "rate_per_s = 0.0001"));
    let after = proxy.poll_until(&mut jar, |status| status["rate_per_s"] == 0.0001).await;
    assert_eq!(after["seq"], before["seq"], "i4");
    rewrite(&proxy, |text| text.replace("rate_per_s = 0.0001", "rate_per_s = 1000"));
    proxy.poll_until(&mut jar, |status| status["state"] == "admitted").await;
}

#[tokio::test]
async fn i23_a_bad_config_changes_nothing() {
    let origin = Origin::start().await.unwrap();
    let proxy = Proxy::start(&origin, &room("rate_per_s = 0")).await;
    let mut jar = Jar::default();
    jar.take(&proxy.page("/", "").await);
    let before = proxy.poll_until(&mut jar, |status| status["seq"].is_u64()).await;
    rewrite(&proxy, |text| text.replace("rate_per_s = 0", "rate_per_s = -1\nnonsense = true"));
    proxy.process.wait_for_line("not reloaded", PATIENCE).await.unwrap();
    let log = proxy.process.log();
    assert!(log.contains("rate_per_s") && log.contains("nonsense"), "every mistake at once: {log}");
    let after = proxy.poll_until(&mut jar, |_| true).await;
    assert_eq!((&after["seq"], &after["rate_per_s"]), (&before["seq"], &before["rate_per_s"]));
    rewrite(&proxy, |text| text.replace("rate_per_s = -1\nnonsense = true", "rate_per_s = 7"));
    proxy.process.signal(Signal::Hangup).unwrap();
    proxy.poll_until(&mut jar, |status| status["rate_per_s"] == 7.0 || status["state"] == "admitted").await;
}

#[tokio::test]
async fn requests_under_way_finish_after_sigterm() {
    let origin = Origin::start().await.unwrap();
    origin.script("/slow", Script::new().delay(std::time::Duration::from_millis(400)).body("finished"));
    let proxy = Proxy::start(&origin, &room("rate_per_s = 1000\npaths = [\"/queued\"]")).await;
    let slow = proxy.request("GET", "/slow", &[]);
    let stop = async {
        testbed::wait::until("the request is under way", PATIENCE, async || !origin.requests().is_empty())
            .await
            .unwrap();
        proxy.process.signal(Signal::Terminate).unwrap();
        proxy.process.wait(PATIENCE).await.unwrap()
    };
    let (response, ended) = tokio::join!(slow, stop);
    assert_eq!(response.body, "finished");
    assert!(ended.success(), "{ended}");
    assert!(proxy.process.log().contains("nothing is under way"), "at once, not after a fixed time");
}
