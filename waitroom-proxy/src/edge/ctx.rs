//! What is known of one request while Pingora carries it, from the first hook to the last.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HeaderValue;

use super::news::Carrier;
use super::request::RequestId;
use super::site::Site;
use super::{Outcome, mint, websocket};

/// What is known of a request while it is under way.
pub struct Ctx {
    pub(super) site: Arc<Site>,
    pub(super) room: Option<usize>,
    pub(super) outcome: Outcome,
    pub(super) began: Instant,
    pub(super) request_id: RequestId,
    pub(super) peer: Option<IpAddr>,
    /// Session and token that go upstream.
    pub(super) admitted: Option<mint::Minted>,
    /// The client must be told of the token.
    pub(super) news: bool,
    /// How the client carries its token.
    pub(super) carrier: Carrier,
    /// The id that a trusted proxy gave the request.
    pub(super) their_id: Option<HeaderValue>,
    /// The origin of a front end that the room allows.
    pub(super) origin: Option<HeaderValue>,
    pub(super) tries: usize,
    /// How long the upstream may keep the client of an upgrade waiting.
    pub(super) patience: Option<Duration>,
    /// What runs beside a WebSocket, from its upgrade on; ends with the request.
    pub(super) tunnel: Option<websocket::Beside>,
}

impl Ctx {
    /// Of a request that begins now, for the site as it is now.
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            room: None,
            outcome: Outcome::default(),
            began: Instant::now(),
            request_id: RequestId::new(rand::random()),
            peer: None,
            admitted: None,
            news: false,
            carrier: Carrier::default(),
            their_id: None,
            origin: None,
            tries: 0,
            patience: None,
            tunnel: None,
        }
    }

    /// By which the request is known, upstream and to the client.
    pub(super) fn id(&self) -> &str {
        self.their_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or(self.request_id.as_str())
    }
}
