//! Silence by the clock of the mind: nodes, visitors and lost reports without a store.

use proptest::prelude::*;

use super::*;

const A: Duration = Duration::from_secs(90);

fn pace() -> Pace {
    Pace::new(Lane::Line, A)
}

fn span(seqs: &[u64]) -> BitSpan {
    let mut bytes = vec![0; seqs.iter().max().map_or(0, |seq| seq / 8 + 1) as usize];
    seqs.iter().for_each(|seq| bytes[(seq / 8) as usize] |= 0x80_u8 >> (seq % 8));
    BitSpan { first: 0, bytes }
}

fn report(to: u64, seqs: &[u64]) -> Report {
    Report { first: 0, to, bytes: span(seqs).bytes }
}

/// Judges the buckets 100, 101, … with these reports each; what the last one says.
fn judged(buckets: &[Vec<Option<Report>>], waiting: &[u64]) -> Vec<u64> {
    let mut rounds = Rounds::new(pace(), 100 * 30_000);
    let mut silent = Vec::new();
    for (bucket, reports) in (100..).zip(buckets) {
        silent = match rounds.hear(bucket, reports.clone()) {
            Hearing::Complete => rounds.judge(bucket, &span(waiting)),
            Hearing::Missing => Vec::new(),
        };
    }
    silent
}

#[test]
fn the_pace_follows_the_silence_that_is_allowed() {
    let line = |s| Pace::new(Lane::Line, Duration::from_secs(s));
    assert_eq!((line(90).period(), line(90).buckets), (Duration::from_secs(30), 4));
    assert_eq!((line(600).period(), line(600).buckets), (Duration::from_secs(30), 21));
    assert_eq!((line(3).period(), line(3).buckets), (Duration::from_secs(1), 4));
    let head = Pace::new(Lane::Head, A);
    assert_eq!((head.period(), head.buckets), (Duration::from_secs(5), 19), "a turn is wasted for 10 s at most");
    assert_eq!(Pace::new(Lane::Head, Duration::from_secs(3)).period(), Duration::from_secs(1));
}

#[test]
fn i13_who_was_heard_nowhere_is_silent() {
    let quiet = vec![Some(report(10, &[1])), Some(report(10, &[2]))];
    assert_eq!(judged(&vec![quiet; 4], &[1, 2, 3, 4]), [3, 4]);
}

#[test]
fn one_heartbeat_anywhere_is_enough() {
    let mut buckets = vec![vec![Some(report(10, &[])), Some(report(10, &[]))]; 4];
    buckets[0][1] = Some(report(10, &[3]));
    assert_eq!(judged(&buckets, &[3, 4]), [4]);
    buckets.push(buckets[1].clone());
    assert_eq!(judged(&buckets, &[3, 4]), [3, 4], "and is forgotten when it is too old");
}

#[test]
fn f29_nobody_is_silent_while_a_live_node_has_not_reported() {
    let mut buckets = vec![vec![Some(report(10, &[])), Some(report(10, &[]))]; 5];
    assert_eq!(judged(&buckets, &[3]), [3]);
    buckets[4][1] = None;
    assert_eq!(judged(&buckets, &[3]), Vec::<u64>::new());
    // The node comes back and has kept what it heard.
    buckets.push(vec![Some(report(10, &[])), Some(report(10, &[3]))]);
    assert_eq!(judged(&buckets, &[3, 4]), [4]);
}

#[test]
fn who_joined_lately_is_not_judged() {
    let mut buckets = vec![vec![Some(report(20, &[]))]; 4];
    buckets[0] = vec![Some(report(11, &[]))];
    assert_eq!(judged(&buckets, &[10, 11, 12]), [10], "11 and 12 came after the first of these buckets");
}

#[test]
fn a_time_without_any_node_proves_nothing() {
    let mut buckets = vec![vec![Some(report(10, &[]))]; 5];
    buckets[3] = vec![None];
    assert_eq!(judged(&buckets, &[3]), Vec::<u64>::new());
}

#[test]
fn what_was_before_the_start_is_not_asked_for() {
    let mut rounds = Rounds::new(pace(), 3_000_001);
    assert_eq!(rounds.due(3_030_000 + 29_999), Due::Nothing, "bucket 100 had begun before");
    assert_eq!(rounds.due(3_060_000), Due::Nothing, "the reports have two seconds to come in");
    assert_eq!(rounds.due(3_062_000), Due::Fetch(vec![101]));
    rounds.pass(101);
    assert_eq!(rounds.due(3_062_000), Due::Nothing);
    assert_eq!(rounds.due(3_092_000), Due::Fetch(vec![101, 102]));
}

/// A poll: when (ms), where, whose.
type Poll = (u64, usize, u64);

/// Plays polls at nodes that report at the end of each bucket, `lost` of the reports excepted, and returns who
/// was found silent, and when.
fn play(polls: &[Poll], nodes: usize, lost: &[(u64, usize)], visitors: u64) -> Vec<(u64, u64)> {
    let (pace, end) = (pace(), 20 * 30_000);
    let mut rounds = Rounds::new(pace, 0);
    let mut unsent: Vec<Vec<u64>> = vec![Vec::new(); nodes];
    let waiting: Vec<u64> = (1..=visitors).collect();
    let mut found = Vec::new();
    for bucket in 0..end / 30_000 {
        let of_bucket = |poll: &&Poll| poll.0 / 30_000 == bucket;
        for (_, node, who) in polls.iter().filter(of_bucket) {
            unsent[*node].push(*who);
        }
        let reports = (0..nodes).map(|node| {
            // What could not be sent is kept and sent next time.
            (!lost.contains(&(bucket, node))).then(|| report(visitors + 1, &std::mem::take(&mut unsent[node])))
        });
        let reports = reports.collect();
        if rounds.hear(bucket, reports) == Hearing::Complete {
            let now = (bucket + 1) * 30_000;
            found.extend(rounds.judge(bucket, &span(&waiting)).into_iter().map(|who| (now, who)));
        }
    }
    found
}

proptest! {
    #[test]
    fn nobody_who_was_heard_lately_is_silent(
        polls in proptest::collection::vec((0_u64..600_000, 0_usize..3, 1_u64..9), 0..200),
        lost in proptest::collection::vec((0_u64..20, 0_usize..3), 0..8),
    ) {
        for (now, who) in play(&polls, 3, &lost, 8) {
            let heard = polls.iter().filter(|poll| poll.2 == who && poll.0 < now).map(|poll| poll.0).max();
            prop_assert!(heard.is_none_or(|at| now - at >= 90_000), "{who} was heard at {heard:?} and found silent at {now}");
        }
    }

    #[test]
    fn whoever_stays_silent_is_found(
        polls in proptest::collection::vec((0_u64..300_000, 0_usize..3, 1_u64..9), 0..200),
    ) {
        let found = play(&polls, 3, &[], 8);
        for who in 1..9 {
            let last = polls.iter().filter(|poll| poll.2 == who).map(|poll| poll.0).max().unwrap_or(0);
            let by = found.iter().find(|(now, found)| *found == who && *now > last).map(|(now, _)| *now);
            prop_assert!(by.is_some_and(|by| by <= last + 150_000), "{who}: last heard at {last}, found silent at {by:?}");
        }
    }
}
