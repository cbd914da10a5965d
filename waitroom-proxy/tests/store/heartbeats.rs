//! Reports of whom the nodes heard, who lives, and who has the lease.

use std::time::Duration;

use waitroom_proxy::store::{Epoch, Lane, NodeId, Report, StoreError, Upload};

use crate::bed::{Bed, LONG, SHORT, client, on_both};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(0xffff_ffff_ffff_ffff);

on_both!(
    a_report_is_heard_as_it_was_sent,
    refused_a_report_of_a_former_epoch,
    a_node_that_reports_no_more_is_no_longer_live,
    the_lease_has_one_holder,
    a_report_runs_out,
    f29_a_node_that_is_gone_takes_no_other_along,
);

fn upload(node: NodeId, bucket: u64) -> Upload {
    let report = Report { first: 64, to: 700, bytes: vec![0, 255, 13, 10, 1] };
    Upload { node, lane: Lane::Line, bucket, report, keep: LONG, alive: LONG }
}

impl Bed {
    async fn report(&self, upload: &Upload) {
        self.store.heartbeats(&self.room, self.epoch, upload).await.expect("kept");
    }

    async fn live(&self, node: NodeId, lease: Duration) -> Option<Vec<NodeId>> {
        let mut live = self.store.live_nodes(&self.room, self.epoch, node, lease).await.expect("an answer");
        live.iter_mut().for_each(|live| live.sort());
        live
    }

    async fn heard(&self, lane: Lane, bucket: u64) -> Vec<Option<Report>> {
        self.store.heard(&self.room, lane, bucket, &[A, B]).await.expect("an answer")
    }
}

async fn a_report_is_heard_as_it_was_sent(bed: Bed) {
    bed.report(&upload(A, 9)).await;
    bed.report(&upload(A, 9)).await;
    bed.report(&Upload { lane: Lane::Head, report: Report::default(), ..upload(B, 9) }).await;
    assert_eq!(bed.heard(Lane::Line, 9).await, [Some(upload(A, 9).report), None]);
    assert_eq!(bed.heard(Lane::Head, 9).await, [None, Some(Report::default())]);
    assert_eq!(bed.heard(Lane::Line, 8).await, [None, None]);
    assert_eq!(bed.store.heard(&bed.room, Lane::Line, 9, &[]).await.expect("an answer"), []);
}

async fn refused_a_report_of_a_former_epoch(bed: Bed) {
    let former = Epoch { generation: bed.epoch.generation + 1, life: bed.epoch.life };
    let refused = bed.store.heartbeats(&bed.room, former, &upload(A, 9)).await;
    assert!(matches!(refused, Err(StoreError::Superseded(epoch)) if epoch == bed.epoch), "{refused:?}");
    assert_eq!(bed.heard(Lane::Line, 9).await, [None, None]);
    assert_eq!(bed.live(A, LONG).await, Some(Vec::new()));
}

async fn a_node_that_reports_no_more_is_no_longer_live(bed: Bed) {
    bed.report(&Upload { alive: SHORT, ..upload(A, 1) }).await;
    bed.report(&upload(B, 1)).await;
    bed.let_it_run_out().await;
    assert_eq!(bed.live(A, LONG).await, Some(vec![B]));
    bed.report(&upload(A, 2)).await;
    assert_eq!(bed.live(A, LONG).await, Some(vec![A, B]));
}

async fn the_lease_has_one_holder(bed: Bed) {
    assert!(bed.live(A, LONG).await.is_some());
    assert_eq!(bed.live(B, LONG).await, None);
    assert!(bed.live(A, SHORT).await.is_some(), "the holder keeps it for as long as it says");
    bed.let_it_run_out().await;
    assert!(bed.live(B, LONG).await.is_some());
}

async fn a_report_runs_out(bed: Bed) {
    bed.report(&Upload { keep: SHORT, ..upload(A, 9) }).await;
    bed.let_it_run_out().await;
    assert_eq!(bed.heard(Lane::Line, 9).await, [None, None]);
}

async fn f29_a_node_that_is_gone_takes_no_other_along(bed: Bed) {
    bed.report(&upload(B, 1)).await;
    bed.report(&Upload { alive: SHORT, ..upload(A, 1) }).await;
    bed.let_it_run_out().await;
    assert_eq!(bed.live(A, LONG).await, Some(vec![B]));
}

/// A server that is short of memory may drop what has an expiry: not this, or whoever has the lease waits for nobody.
#[tokio::test]
async fn f29_who_lives_is_never_evicted() {
    let bed = Bed::redis().await;
    bed.report(&upload(A, 1)).await;
    let url = testbed::redis::shared().await.url();
    let mut raw = client(&url).get_multiplexed_async_connection().await.expect("a connection");
    let mut expiry = async |key: &str| -> i64 {
        let key = format!("queue:{{{}}}:seen:{key}", bed.room);
        redis::cmd("PTTL").arg(key).query_async(&mut raw).await.expect("an answer")
    };
    assert_eq!(expiry("nodes").await, -1, "no expiry");
    assert!(expiry(&format!("1:{A}")).await > 0, "a report that is missing holds everybody: that may go");
}
