//! Looks at the store and at the nodes, as operators look, while the crowd polls.

use testbed::history::Count;

use super::Crowd;
use crate::harness::Proxy;
use crate::site::PATIENCE;
use crate::wire::Kept;

impl Crowd {
    /// What operators see of the store and of each node, written down. One look after another.
    pub(super) async fn look(&self, proxies: &[&Proxy]) {
        if self.looking.replace(true) {
            return;
        }
        for proxy in proxies {
            let asked_ms = self.now_ms();
            let Some(metrics) = Kept::to(proxy.operators).get("/metrics").await else { continue };
            let value = |series: &str| metric(&metrics.body, series);
            if let Some(given) = value("waitroom_grants_total{room=\"concert\"}") {
                let rounds = value(ROUNDS).unwrap_or(0);
                self.history.borrow_mut().looked(proxy.visitors.port(), asked_ms, self.now_ms(), given, rounds);
            }
        }
        for proxy in proxies {
            let Some(room) = Kept::to(proxy.operators).get("/admin/rooms/concert").await else { continue };
            let room = room.json();
            if room["stale"] != false {
                continue;
            }
            let number = |name: &str| room[name].as_u64().unwrap();
            self.history.borrow_mut().counted(Count {
                answered_ms: self.now_ms(),
                store_ms: number("as_of_ms"),
                admitted: number("admitted_total"),
                occupied: number("granted") + number("active"),
            });
            break;
        }
        self.looking.set(false);
    }
}

/// Rounds of a node that the store has answered.
const ROUNDS: &str = "waitroom_store_calls_total{operation=\"tick\",result=\"ok\"}";

/// The value of a series; `None` before there is one.
fn metric(metrics: &str, series: &str) -> Option<u64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(series))?;
    Some(value.trim().parse::<f64>().unwrap() as u64)
}

/// Returns when the proxy has heard from the store in a round that began after now.
pub(crate) async fn hears(proxy: &Proxy) {
    let rounds = async || metric(&proxy.look("/metrics").await.body, ROUNDS).unwrap_or(0);
    let before = rounds().await;
    let later = async || rounds().await >= before + 3;
    testbed::wait::until("the store to answer", PATIENCE, later).await.unwrap();
}
