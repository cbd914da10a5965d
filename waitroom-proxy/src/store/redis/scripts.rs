//! The scripts, each behind the shared prelude. Knows their names and nothing of connections.

use redis::Script;

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(
            include_str!("../scripts/prelude.lua"),
            include_str!(concat!("../scripts/", $name, ".lua"))
        ))
    };
}

/// One compiled text for each operation; sent by its digest, and whole only when the server does not know it.
pub(super) struct Scripts {
    pub(super) join: Script,
    pub(super) enter: Script,
    pub(super) tick: Script,
    pub(super) claim: Script,
    pub(super) touch: Script,
    pub(super) end: Script,
    pub(super) reap: Script,
    pub(super) heard: Script,
    pub(super) heartbeats: Script,
    pub(super) live_nodes: Script,
    pub(super) snapshot: Script,
    pub(super) recover: Script,
    pub(super) merge_bits: Script,
    pub(super) flush: Script,
    pub(super) reset: Script,
    pub(super) pause: Script,
    pub(super) trim: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            join: script!("join"),
            enter: script!("enter"),
            tick: script!("tick"),
            claim: script!("claim"),
            touch: script!("touch"),
            end: script!("end"),
            reap: script!("reap"),
            heard: script!("heard"),
            heartbeats: script!("heartbeats"),
            live_nodes: script!("live_nodes"),
            snapshot: script!("snapshot"),
            recover: script!("recover"),
            merge_bits: script!("merge_bits"),
            flush: script!("flush"),
            reset: script!("reset"),
            pause: script!("pause"),
            trim: script!("trim"),
        }
    }
}

/// The nine keys of a room, in the order of the prelude. The braces put them into one hash slot.
pub(super) fn keys(room: &str) -> [String; 9] {
    ["waiting", "granted", "active", "waiting.bits", "spent.bits", "ended.bits", "state", "scratch", "seqs"]
        .map(|part| format!("queue:{{{room}}}:{part}"))
}
