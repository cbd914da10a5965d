//! Redis under Sentinels and in a cluster: failovers with people in line, replicas that are cut off, and wrong settings.

use std::time::Instant;

use testbed::cluster::PrivateCluster;
use testbed::redis::PrivateRedis;
use testbed::sentinel::PrivateSentinel;
use testbed::wire::Wire;
use waitroom_proxy::store::{CheckError, RoomName, StoreError, open_with};

use crate::bed::{client, room_name, rules};
use crate::history::{History, PATIENCE};

const CROWD: u64 = 2_000;

/// Admitted before a server is killed, and again afterwards.
const SOME: usize = 100;

/// The user of `docs/REDIS.md`, as a line of `redis.conf`.
fn restricted() -> (&'static str, String) {
    ("user", format!("waitroom {}", rules().join(" ")))
}

async fn checked(url: &str, min_acks: u32) -> Result<(), String> {
    let store = open_with(url, min_acks).expect(url);
    let began = Instant::now();
    loop {
        match store.check().await {
            Ok(()) => return Ok(()),
            // A busy machine may be slow at first.
            Err(CheckError::Down(sentence)) if sentence.contains("did not answer") && began.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

async fn refusal(url: &str, min_acks: u32) -> String {
    let sentence = checked(url, min_acks).await.expect_err(url);
    assert!(!sentence.contains("hunter2") && !sentence.contains('\n'), "{sentence}");
    sentence
}

/// Kills the primary while people are let in.
async fn kill(history: &mut History<'_>, primary: &PrivateRedis) {
    history.until("the first to be let in", |now| now.admitted() >= SOME).await;
    primary.kill().await.expect("killed");
    assert!(matches!(history.tick().await, Err(StoreError::Unavailable(_))), "nobody gives turns");
}

/// Returns when people are let in again.
async fn until_it_goes_on(history: &mut History<'_>) {
    let before = history.admitted();
    history.until("a new primary", |now| now.recoveries > 0).await;
    history.until("people to be let in again", |now| now.admitted() > before).await;
}

#[tokio::test]
async fn f1_a_primary_under_sentinels_is_killed_while_people_are_let_in() {
    let (name, value) = restricted();
    let servers = PrivateSentinel::options().directive(name, value).start().await.expect("sentinels");
    let url = servers.url().replace("redis+sentinel://", "redis+sentinel://waitroom:change-me@");
    assert_eq!(checked(&url, 1).await, Ok(()));
    let store = open_with(&url, 1).expect("a store");
    let mut history = History::begin(&*store, room_name()).await;
    history.line_up(CROWD).await;
    let primary = servers.primary().await.expect("a primary");
    kill(&mut history, primary).await;
    let killed = Instant::now();
    until_it_goes_on(&mut history).await;
    println!("sentinel: nobody was let in for {:?}", killed.elapsed());
    history.assert_sound().await;
    // The former primary comes back empty, and is not asked.
    primary.restart().await.expect("back");
    history.until("everybody to be let in", |now| now.admitted() as u64 >= CROWD / 4).await;
    history.assert_sound().await;
}

#[tokio::test]
async fn f1_the_primary_of_a_shard_is_killed_while_people_are_let_in() {
    let (name, value) = restricted();
    let options = PrivateCluster::options().directive(name, value).directive("cluster-require-full-coverage", "no");
    let cluster = options.start().await.expect("a cluster");
    let url = cluster.url().replace("redis+cluster://", "redis+cluster://waitroom:change-me@");
    assert_eq!(checked(&url, 1).await, Ok(()));
    let store = open_with(&url, 1).expect("a store");
    // `concert` is in the slots of the first node, `arena` in those of the third.
    let (room, other) = (RoomName::new("concert").expect("a name"), RoomName::new("arena").expect("a name"));
    let mut history = History::begin(&*store, room.clone()).await;
    let mut elsewhere = History::begin(&*store, other).await;
    history.line_up(CROWD).await;
    elsewhere.line_up(CROWD).await;
    let owner = owner(&cluster, &room).await;
    kill(&mut history, owner).await;
    let killed = Instant::now();
    let before = elsewhere.admitted();
    elsewhere.until("the room of another shard goes on", |now| now.admitted() > before).await;
    testbed::wait::until("another primary", PATIENCE, async || primaries(&cluster).await == 3).await.expect("one");
    println!("cluster: another primary after {:?}", killed.elapsed());
    // The shard has no replica left: what `min_acks` asks for cannot be had, until the killed one is back as one.
    let before = history.admitted();
    let began = Instant::now();
    while !history.round().await.is_err_and(|error| error.to_string().contains("`min_acks`")) {
        assert!(began.elapsed() < PATIENCE, "no word of the replicas");
    }
    assert_eq!(history.admitted(), before);
    owner.restart().await.expect("back");
    let back = Instant::now();
    until_it_goes_on(&mut history).await;
    println!("cluster: people are let in {:?} after the killed node is back", back.elapsed());
    history.assert_sound().await;
    elsewhere.assert_sound().await;
}

/// How many nodes that live are primaries.
async fn primaries(cluster: &PrivateCluster) -> usize {
    let mut count = 0;
    for node in cluster.nodes() {
        let Ok(mut raw) = client(&node.url()).get_multiplexed_async_connection().await else { continue };
        let role = redis::cmd("INFO").arg("replication").query_async::<String>(&mut raw).await;
        count += usize::from(role.is_ok_and(|info| info.contains("role:master")));
    }
    count
}

/// The node that has the room's state.
async fn owner<'a>(cluster: &'a PrivateCluster, room: &RoomName) -> &'a PrivateRedis {
    for node in &cluster.nodes()[..3] {
        let mut raw = client(&node.url()).get_multiplexed_async_connection().await.expect("a connection");
        let key = format!("queue:{{{room}}}:state");
        if redis::cmd("EXISTS").arg(&key).query_async::<bool>(&mut raw).await.unwrap_or(false) {
            return node;
        }
    }
    panic!("no node has {room}");
}

#[tokio::test]
async fn a_slot_that_moves_to_another_node_is_followed() {
    let cluster = PrivateCluster::start().await.expect("a cluster");
    let store = open_with(&cluster.url(), 0).expect("a store");
    let room = RoomName::new("concert").expect("a name");
    let mut history = History::begin(&*store, room.clone()).await;
    history.line_up(100).await;
    let from = owner(&cluster, &room).await;
    let to = cluster.nodes()[..3].iter().find(|node| node.addr() != from.addr()).expect("another");
    let mut at_from = client(&from.url()).get_multiplexed_async_connection().await.expect("a connection");
    let mut at_to = client(&to.url()).get_multiplexed_async_connection().await.expect("a connection");
    let slot: u16 = cluster_slot(&mut at_from, &room).await;
    let id = async |raw: &mut redis::aio::MultiplexedConnection| -> String {
        redis::cmd("CLUSTER").arg("MYID").query_async(raw).await.expect("an id")
    };
    let (from_id, to_id) = (id(&mut at_from).await, id(&mut at_to).await);
    let set = |slot: u16, how: &str, id: &str| {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(how).arg(id);
        command
    };
    set(slot, "IMPORTING", &from_id).exec_async(&mut at_to).await.expect("importing");
    set(slot, "MIGRATING", &to_id).exec_async(&mut at_from).await.expect("migrating");
    // On its way the room waits, and above all does not begin anew at either end.
    for _ in 0..3 {
        let Err(StoreError::Unavailable(sentence)) = history.tick().await else { panic!("served on its way") };
        assert!(sentence.contains("moving this room"), "{sentence}");
    }
    let keys: Vec<String> =
        redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(100).query_async(&mut at_from).await.expect("keys");
    let mut migrate = redis::cmd("MIGRATE");
    migrate.arg("127.0.0.1").arg(to.addr().port()).arg("").arg(0).arg(5_000).arg("KEYS").arg(&keys);
    migrate.exec_async(&mut at_from).await.expect("moved");
    for raw in [&mut at_to, &mut at_from] {
        set(slot, "NODE", &to_id).exec_async(raw).await.expect("assigned");
    }
    history.until("the room at its new node", |now| now.recoveries > 0 && now.admitted() == 100).await;
    assert_eq!(owner(&cluster, &room).await.addr(), to.addr());
    history.assert_sound().await;
}

async fn cluster_slot(raw: &mut redis::aio::MultiplexedConnection, room: &RoomName) -> u16 {
    let mut command = redis::cmd("CLUSTER");
    command.arg("KEYSLOT").arg(format!("queue:{{{room}}}:state"));
    command.query_async(raw).await.expect("a slot")
}

#[tokio::test]
async fn f2_behind_a_primary_that_is_cut_from_its_replica_nobody_is_let_in() {
    let primary = PrivateRedis::start().await.expect("redis");
    let wire = Wire::to(primary.addr()).await.expect("a wire");
    let behind = format!("127.0.0.1 {}", wire.addr().port());
    let replica = PrivateRedis::options().directive("replicaof", behind).start().await.expect("a replica");
    let raw = client(&primary.url()).get_multiplexed_async_connection().await.expect("a connection");
    testbed::wait::until("the replica to follow", PATIENCE, || {
        let mut raw = raw.clone();
        async move {
            let info: String = redis::cmd("INFO").arg("replication").query_async(&mut raw).await.expect("info");
            info.contains("state=online")
        }
    })
    .await
    .expect("a replica");

    assert_eq!(checked(&primary.url(), 1).await, Ok(()));
    let sentence = refusal(&primary.url(), 2).await;
    assert!(sentence.contains("has 1 replicas") && sentence.contains("`min_acks`"), "{sentence}");
    let store = open_with(&primary.url(), 1).expect("a store");
    let mut history = History::begin(&*store, room_name()).await;
    history.line_up(CROWD).await;
    history.until("the first to be let in", |now| now.admitted() >= SOME).await;

    wire.blackhole().await.expect("cut");
    let before = history.admitted();
    let sentence = loop {
        match history.round().await {
            Err(StoreError::Unavailable(sentence)) => break sentence,
            // Nobody had a turn in this round, so nothing had to be acknowledged.
            other => assert!(other.is_ok(), "{other:?}"),
        }
    };
    assert!(sentence.contains("only 0 of the 1 replicas that `min_acks`"), "{sentence}");
    assert_eq!(history.admitted(), before, "nobody claims what the replica does not have");
    for _ in 0..10 {
        assert!(history.round().await.is_err(), "not before the replica is back");
    }
    assert_eq!(history.admitted(), before);

    wire.mend().await.expect("mended");
    history.until("people to be let in again", |now| now.admitted() >= before + SOME).await;
    history.assert_sound().await;
    drop(replica);
}

#[tokio::test]
async fn f12_a_password_that_is_changed_later_is_explained_and_nothing_is_lost() {
    let redis = PrivateRedis::start().await.expect("redis");
    let mut raw = client(&redis.url()).get_multiplexed_async_connection().await.expect("a connection");
    let mut order = async |words: &[&str]| {
        redis::Cmd::new().arg(words).exec_async(&mut raw).await.expect("ordered");
    };
    let user: Vec<&str> = ["ACL", "SETUSER", "waitroom"].into_iter().chain(rules()).collect();
    order(&user).await;
    let store = open_with(&format!("redis://waitroom:change-me@{}/", redis.addr()), 0).expect("a store");
    let mut history = History::begin(&*store, room_name()).await;
    history.line_up(100).await;
    order(&["ACL", "SETUSER", "waitroom", "resetpass", ">other"]).await;
    order(&["CLIENT", "KILL", "USER", "waitroom"]).await;
    let began = Instant::now();
    loop {
        let Err(StoreError::Unavailable(sentence)) = history.round().await else { panic!("let in") };
        if sentence.contains("does not accept this user and password") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{sentence}");
    }
    order(&["ACL", "SETUSER", "waitroom", "resetpass", ">change-me"]).await;
    history.until("everybody to be let in", |now| now.admitted() == 100).await;
    history.assert_sound().await;
}

#[tokio::test]
async fn refused_sentinels_in_one_sentence_each() {
    let servers = PrivateSentinel::options().password("right").replicas(1).start().await.expect("sentinels");
    let (sentinels, primary) = (servers.addresses(), servers.primary().await.expect("a primary").addr());
    assert_eq!(checked(&servers.url(), 1).await, Ok(()));
    let replica = servers.servers()[1].url();
    let first = sentinels.split(',').next().expect("a Sentinel").to_owned();
    for (url, says) in [
        (format!("redis+sentinel://:right@{sentinels}/other"), "watches no primary called `other`".to_owned()),
        (format!("redis+sentinel://:hunter2@{sentinels}/main"), "does not accept this user and password".to_owned()),
        (format!("redis+sentinel://:right@{primary}/main"), format!("the server at {primary} is no Sentinel")),
        (format!("redis://{first}/"), "is a Sentinel: use redis+sentinel://".to_owned()),
        (replica, format!("is a replica of {primary}")),
        (format!("redis+sentinel://127.0.0.1:{}/main", testbed::ports::free()), "nothing listens".to_owned()),
    ] {
        let sentence = refusal(&url, 0).await;
        assert!(sentence.contains(&says), "{sentence}");
    }
    // One Sentinel is enough, and one that is dead disturbs nobody.
    servers.kill_sentinel(0).await.expect("killed");
    assert_eq!(checked(&servers.url(), 0).await, Ok(()));
}

#[tokio::test]
async fn a_sentinel_that_wants_the_password_is_given_it() {
    let options = PrivateSentinel::options().password("secret").sentinel_password("secret").replicas(1);
    let servers = options.start().await.expect("sentinels");
    assert_eq!(checked(&servers.url(), 0).await, Ok(()));
    let wrong = servers.url().replace("secret", "hunter2");
    let sentence = refusal(&wrong, 0).await;
    assert!(sentence.contains("the Sentinel at") && sentence.contains("does not accept"), "{sentence}");
}

#[tokio::test]
async fn refused_clusters_in_one_sentence_each() {
    let evicts =
        PrivateCluster::options().directive("maxmemory-policy", "allkeys-lru").start().await.expect("a cluster");
    let single = PrivateRedis::start().await.expect("redis");
    let node = evicts.nodes()[0].url();
    for (url, says) in [
        (evicts.url(), "maxmemory-policy noeviction"),
        (evicts.url().replace("://", "://:hunter2@"), "does not accept this user and password"),
        (format!("redis+cluster://{}", single.addr()), "is not part of a cluster"),
        (node, "is part of a cluster: use redis+cluster://"),
    ] {
        let sentence = refusal(&url, 0).await;
        assert!(sentence.contains(says), "{sentence}");
    }
}
