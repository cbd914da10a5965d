//! From the checked config to the parts: the only place that knows both.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use crate::classify::{RoomRule, RoutingTable};
use crate::config::{Config, OnUnavailable, Room as RoomConfig, UpstreamHost};
use crate::credentials::CookieNames;
use crate::edge::site::{Site, SiteRoom};
use crate::edge::upstream::{UpstreamError, UpstreamServer, UpstreamSettings, Upstreams};
use crate::mint::Mint;
use crate::page::WaitingPage;
use crate::room::Room;
use crate::room::settings::RoomSettings;
use crate::seal::{MAX_SEALED, SealError, Sealer};
use crate::store::{Limits, RoomName};

/// Why a checked config can't be put to work.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssembleError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the keys can't be used: {0}")]
    Keys(#[from] queue_token::KeyError),
    #[error("the seal keys can't be used: {0}")]
    Seal(#[from] SealError),
    #[error("the waiting page of room {0} can't be used: line {1}: {2}")]
    Page(RoomName, usize, String),
    #[error(
        "a session's cookie for room {0} would take {1} bytes, more than the {MAX_SEALED} that are looked at; use a shorter tokens.issuer, key id or room name"
    )]
    CookieTooLong(RoomName, usize),
    #[error("a token can't be signed: {0}")]
    Sign(#[from] queue_token::SignError),
    #[error("the public keys can't be written: {0}")]
    Jwks(#[from] serde_json::Error),
}

/// What a site keeps from one config to the next.
pub(super) struct Kept<'k> {
    /// Gives the runtime of a room, old or new.
    pub(super) room: &'k mut dyn FnMut(&RoomConfig, RoomSettings) -> Arc<Room>,
    /// Upstreams by room, with what is known of their health.
    pub(super) upstreams: &'k HashMap<RoomName, Arc<Upstreams>>,
}

/// Rate 0 lets nobody in, what is left in the bucket included.
fn limits(room: &RoomConfig) -> Limits {
    let limits = room.limits();
    if limits.rate_per_s > 0.0 { limits } else { Limits { burst: 0.0, ..limits } }
}

/// The settings of a room's runtime.
pub(super) fn settings(config: &Config, room: &RoomConfig) -> RoomSettings {
    RoomSettings {
        limits: limits(room),
        session_ttl: room.session_ttl,
        session_renewal: room.session_renewal,
        session_max: room.session_max,
        claim_ttl: room.claim_ttl,
        ticket_max_age: room.ticket_max_age,
        abandon_after: room.abandon_after,
        max_streams: room.sse_max_streams,
        pass_after: match config.store.on_unavailable {
            OnUnavailable::Hold => None,
            OnUnavailable::Pass { after } => Some(after),
        },
    }
}

/// Keys of the config, ready to be used.
pub(super) fn mint(config: &Config) -> Result<Mint, AssembleError> {
    let sealer = Sealer::new(config.tokens.seal_keys.iter().map(|key| key.expose()))?;
    Ok(Mint::new(config.tokens.key_ring()?, config.tokens.issuer.clone(), sealer))
}

/// The upstreams of a room, kept when nothing about them changed. Resolves names: may block.
pub(super) fn upstreams(
    config: &Config,
    kept: &HashMap<RoomName, Arc<Upstreams>>,
) -> Result<HashMap<RoomName, Arc<Upstreams>>, AssembleError> {
    let mut all = HashMap::new();
    for room in &config.rooms {
        let wanted = upstream_settings(room);
        let same = kept.get(&room.name).filter(|upstreams| *upstreams.settings() == wanted);
        let upstreams = match same {
            Some(upstreams) => upstreams.clone(),
            None => Arc::new(Upstreams::new(wanted)?),
        };
        all.insert(room.name.clone(), upstreams);
    }
    Ok(all)
}

/// The whole site. Everything that can fail comes before anything that lasts.
pub(super) fn site(config: &Config, mint: Arc<Mint>, kept: Kept<'_>) -> Result<Site, AssembleError> {
    let built_in = WaitingPage::built_in();
    let mut pages = Vec::new();
    for room in &config.rooms {
        let page = match &room.template {
            Some(template) => WaitingPage::from_template(&template.text),
            None => built_in.clone(),
        };
        let page = page.map_err(|problems| match problems.into_iter().next() {
            Some(problem) => AssembleError::Page(room.name.clone(), problem.line, problem.message),
            None => AssembleError::Page(room.name.clone(), 0, "unknown".to_owned()),
        })?;
        let home = room.paths.first().map_or("/", String::as_str);
        pages.push(Arc::new(page.for_room(room.name.as_str(), home)));
    }
    for room in &config.rooms {
        let length = mint.longest_cookie(room.name.as_str())?;
        if length > MAX_SEALED {
            return Err(AssembleError::CookieTooLong(room.name.clone(), length));
        }
    }
    let jwks = mint.jwks()?.into();
    let rules: Vec<RoomRule> = config.rooms.iter().map(rule).collect();
    let mut rooms = Vec::new();
    for (room, page) in config.rooms.iter().zip(pages) {
        let Some(upstreams) = kept.upstreams.get(&room.name).cloned() else { continue };
        rooms.push(SiteRoom {
            room: (kept.room)(room, settings(config, room)),
            hosts: room.hosts.clone(),
            cookies: CookieNames::new(room.name.as_str(), config.server.secure_cookies),
            // Made of our own words and hashes.
            csp: HeaderValue::from_str(page.csp()).unwrap_or(HeaderValue::from_static("default-src 'none'")),
            page,
            upstreams,
            waiting_status: room.waiting_status,
            cors_origins: room.cors_origins.clone(),
        });
    }
    Ok(Site {
        routing: RoutingTable::new(&rules),
        rooms,
        mint,
        trusted_proxies: config.server.trusted_proxies.clone(),
        jwks,
    })
}

fn rule(room: &RoomConfig) -> RoomRule {
    RoomRule {
        name: room.name.clone(),
        hosts: room.hosts.clone(),
        paths: room.paths.clone(),
        bypass_paths: room.bypass_paths.clone(),
    }
}

fn upstream_settings(room: &RoomConfig) -> UpstreamSettings {
    UpstreamSettings {
        servers: room
            .upstreams
            .iter()
            .map(|upstream| UpstreamServer { host: upstream.host.clone(), port: upstream.port, tls: upstream.tls })
            .collect(),
        fixed_host: match &room.upstream_host {
            UpstreamHost::Preserve => None,
            UpstreamHost::Fixed(host) => Some(host.clone()),
        },
        health: room.health.as_ref().map(|health| (health.path.clone(), health.interval)),
        connect: room.timeouts.connect,
        read: room.timeouts.read,
        write: room.timeouts.write,
        idle: room.timeouts.idle,
    }
}
