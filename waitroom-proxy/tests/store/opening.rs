//! F25: an opening second through the proxy's own coalescing of joins, to one real server. A build for tests takes half
//! a minute for a million, so there are fewer here; `cargo xtask bench queue` and `bench edge` play the million.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use testbed::redis::PrivateRedis;
use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::room::{Patience, Room};
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{Detail, QueueStore as _, Standing};
use waitroom_proxy::ticket::Ticket;

use crate::bed::{LIFE, LONG, client, limits, room_name, vid};

const VISITORS: u64 = 200_000;

/// Who wait for their number at one moment.
const AT_ONCE: usize = 2_000;

/// Reached only by what is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> RoomSettings {
    RoomSettings {
        limits: limits(0.0, 1.0, 0),
        session_ttl: LONG,
        session_renewal: true,
        session_max: LONG,
        claim_ttl: LONG,
        ticket_max_age: LONG,
        abandon_after: LONG,
        max_streams: 0,
        pass_after: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_i4_i6_no_join_of_an_opening_is_lost_or_doubled() {
    let redis = PrivateRedis::start().await.expect("a server");
    // With the limit of 200 ms that the proxy has.
    let store = Arc::new(RedisStore::new(client(&redis.url())));
    let name = room_name();
    let clock = Arc::new(|| 1_700_000_000_000);
    let (room, work) = Room::new(name.clone(), settings(), store.clone(), clock, Duration::ZERO);
    let _tasks = work.spawn(|| LIFE);
    testbed::wait::until("the room to begin", PATIENCE, async || room.view().known).await.expect("begun");

    let numbers = RefCell::new(vec![0_u8; usize::try_from(VISITORS).expect("few") + 1]);
    let again = RefCell::new(0);
    let join = async |who: u64| {
        let ticket = Ticket::pre(vid(who), who);
        loop {
            match room.join(&ticket, Patience::begins()).await {
                // A fresh room's bucket holds a turn; whoever asks again may have it.
                Ok(Standing::Waiting(seq) | Standing::Granted(seq)) => {
                    numbers.borrow_mut()[usize::try_from(seq).expect("small")] += 1;
                    return;
                }
                Ok(other) => panic!("visitor {who} got {other:?}"),
                // As a page does that is told so: it shows the same ticket again, a little later.
                Err(_) => *again.borrow_mut() += 1,
            }
            let answers = async || !room.view().stale;
            testbed::wait::until("the store to answer", PATIENCE, answers).await.expect("an answer");
        }
    };
    stream::iter(1..=VISITORS).for_each_concurrent(AT_ONCE, join).await;
    println!("{} asked again", again.borrow());
    assert!(numbers.borrow()[1..].iter().all(|times| *times == 1), "i4: each number from 1 on is somebody's, once");
    let picture = testbed::wait::until_some("a picture", PATIENCE, async || {
        store.snapshot(&name, None, Detail::Polls).await.ok()
    });
    let picture = picture.await.expect("a picture");
    let bits: u64 = picture.waiting_bits.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
    assert_eq!((picture.seq, picture.waiting + picture.granted), (VISITORS, VISITORS), "i4");
    assert_eq!(bits, picture.waiting, "i6");
}
