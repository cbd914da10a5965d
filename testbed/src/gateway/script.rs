//! What a gateway is to do wrong, and when. Says it only.

use std::time::Duration;

use serde_json::Value;

/// What a gateway can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set money aside.
    Authorise,
    /// How a payment stands.
    Ask,
    /// Take what was set aside.
    Capture,
    /// Let it go.
    Void,
    /// Give back what was taken.
    Refund,
}

impl Operation {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 5] = [
        ("authorise", Self::Authorise),
        ("ask", Self::Ask),
        ("capture", Self::Capture),
        ("void", Self::Void),
        ("refund", Self::Refund),
    ];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, operation)| (known == name).then_some(operation))
    }
}

/// Before the book is written, or after it and before the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing was done yet.
    Before,
    /// It was done, and nobody knows yet.
    After,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Decline, with this reason. Counts for authorisations.
    Decline(String),
    /// Answer 500.
    Fail,
    /// Answer this status, and nothing about a payment.
    Answer(u16),
    /// Be slow.
    Delay(Duration),
    /// Close the connection without a reply.
    HangUp,
    /// End the whole gateway: no reply to anybody, and nobody listens.
    Die,
    /// Send the reply twice.
    Twice,
    /// Stand still until told to go on.
    Wait,
}

/// A script as it is sent over HTTP: `{"operation", "when", "act", "times", "delay_ms", "reason", "status"}`.
pub(super) fn parse(body: &Value) -> Option<(Operation, When, Act, u32)> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let when = match text("when") {
        None | Some("before") => When::Before,
        Some("after") => When::After,
        Some(_) => return None,
    };
    let act = match text("act")? {
        "decline" => Act::Decline(text("reason").unwrap_or("declined").to_owned()),
        "fail" => Act::Fail,
        "answer" => Act::Answer(body.get("status")?.as_u64()?.try_into().ok()?),
        "delay" => Act::Delay(Duration::from_millis(body.get("delay_ms")?.as_u64()?)),
        "hang-up" => Act::HangUp,
        "die" => Act::Die,
        "twice" => Act::Twice,
        "wait" => Act::Wait,
        _ => return None,
    };
    let times = body.get("times").map_or(Some(1), |times| times.as_u64()?.try_into().ok())?;
    Some((Operation::parse(text("operation")?)?, when, act, times))
}
