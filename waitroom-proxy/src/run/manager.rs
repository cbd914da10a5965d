//! The manager: keeps the site in step with the config, and the rooms in step with the site.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use super::assemble::{self, AssembleError, Kept};
use crate::admin::Guard;
use crate::cli::check_template;
use crate::config::{self, Changes, Config, ConfigWatcher, Loaded, Problem, Source};
use crate::edge::site::Site;
use crate::edge::upstream::Upstreams;
use crate::metrics::Metrics;
use crate::mint::Mint;
use crate::room::{Clock, Room};
use crate::store::{QueueStore, RoomName};

/// Keeps site and rooms in step with the config.
pub(super) struct Manager {
    site: Arc<ArcSwap<Site>>,
    store: Arc<dyn QueueStore>,
    clock: Clock,
    cold_wait: Duration,
    background: tokio::runtime::Handle,
    source: Source,
    metrics: Arc<Metrics>,
    /// Of the operators' listener: a reload may change its token.
    guard: OnceLock<Arc<Guard>>,
    /// One reload at a time.
    state: Mutex<State>,
    /// Watches the files that the config in force was read from.
    watcher: Mutex<Option<(Vec<PathBuf>, ConfigWatcher)>>,
}

/// What a reload did.
pub(super) struct Reloaded {
    /// What changed.
    pub(super) changes: Changes,
    /// What is legal and unwise.
    pub(super) warnings: Vec<Problem>,
}

struct State {
    config: Config,
    mint: Arc<Mint>,
    rooms: HashMap<RoomName, RunningRoom>,
    upstreams: HashMap<RoomName, Arc<Upstreams>>,
    /// Health checks; replaced with the upstreams.
    watches: HashMap<RoomName, JoinSet<()>>,
}

/// A room and its tasks, which end when this is dropped.
struct RunningRoom {
    room: Arc<Room>,
    _tasks: JoinSet<()>,
}

impl Manager {
    /// Starts the rooms of a config.
    pub(super) fn new(
        config: Config,
        source: Source,
        store: Arc<dyn QueueStore>,
        clock: Clock,
        cold_wait: Duration,
        background: tokio::runtime::Handle,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AssembleError> {
        let mint = Arc::new(assemble::mint(&config)?);
        let upstreams = assemble::upstreams(&config, &HashMap::new())?;
        let mut rooms = HashMap::new();
        let starter = Starter { store: &store, clock: &clock, cold_wait, background: &background };
        let site = assemble::site(
            &config,
            mint.clone(),
            Kept { room: &mut |room, settings| starter.room(&mut rooms, &room.name, settings), upstreams: &upstreams },
        )?;
        let mut state = State { config, mint, rooms, upstreams, watches: HashMap::new() };
        state.watch(&background);
        metrics.set_rooms(site.rooms.iter().map(|room| room.room.name().as_str()));
        let site = Arc::new(ArcSwap::from_pointee(site));
        Ok(Self {
            site,
            store,
            clock,
            cold_wait,
            background,
            source,
            metrics,
            guard: OnceLock::new(),
            state: Mutex::new(state),
            watcher: Mutex::new(None),
        })
    }

    /// The site, as every request sees it.
    pub(super) fn site(&self) -> Arc<ArcSwap<Site>> {
        self.site.clone()
    }

    /// The store.
    pub(super) fn store(&self) -> &Arc<dyn QueueStore> {
        &self.store
    }

    /// The metrics.
    pub(super) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// The guard that reloads keep up to date.
    pub(super) fn guard_with(&self, guard: Arc<Guard>) {
        // There is one operators' listener, so this is set once.
        let _first = self.guard.set(guard);
    }

    /// The config in force.
    pub(super) fn config(&self) -> Config {
        self.lock().config.clone()
    }

    /// Reads the config again and puts it in force, whole or not at all (I23).
    pub(super) fn reload(self: &Arc<Self>) -> Result<Reloaded, Vec<Problem>> {
        let mut state = self.lock();
        let result = self.source.load(&check_template).and_then(|loaded| {
            let files = loaded.files.clone();
            let reloaded = self.apply(&mut state, loaded)?;
            self.watch_files(files);
            Ok(reloaded)
        });
        self.metrics.note_reload(result.as_ref().err().map_or(0, Vec::len), self.now_ms() / 1_000);
        result
    }

    /// As [`Manager::reload`], for those who can't be answered.
    pub(super) fn reload_and_log(self: &Arc<Self>, why: &str) {
        match self.reload() {
            Ok(Reloaded { changes, .. }) if changes.is_empty() => tracing::info!(why, "reloaded: nothing has changed"),
            Ok(Reloaded { changes, .. }) => tracing::info!(why, ?changes, "reloaded"),
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!(why, mistakes = problems.len(), "not reloaded; the config in force stays");
            }
        }
    }

    /// Reloads when one of these files changes; the config may name others than before.
    pub(super) fn watch_files(self: &Arc<Self>, files: Vec<PathBuf>) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if files.is_empty() || watcher.as_ref().is_some_and(|(watched, _)| *watched == files) {
            return;
        }
        let manager = self.clone();
        match ConfigWatcher::start(&files, move || manager.reload_and_log("a file changed")) {
            Ok(started) => *watcher = Some((files, started)),
            Err(error) => tracing::warn!("{error}; reload by SIGHUP or POST /admin/reload"),
        }
    }

    fn apply(&self, state: &mut State, loaded: Loaded) -> Result<Reloaded, Vec<Problem>> {
        let Loaded { mut config, warnings, .. } = loaded;
        let name = self.source.path().map_or_else(String::new, |path| path.display().to_string());
        let changes = config::diff(&state.config, &config, &name)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        // Keys that were made at start live as long as the process.
        if config.tokens.keys.is_empty() {
            config.tokens.keys.clone_from(&state.config.tokens.keys);
        }
        if config.tokens.seal_keys.is_empty() {
            config.tokens.seal_keys.clone_from(&state.config.tokens.seal_keys);
        }
        let failed = |error: AssembleError| {
            vec![Problem { source: name.clone(), line: None, key: String::new(), message: error.to_string() }]
        };
        let mint = match changes.tokens {
            true => Arc::new(assemble::mint(&config).map_err(failed)?),
            false => state.mint.clone(),
        };
        let upstreams = assemble::upstreams(&config, &state.upstreams).map_err(failed)?;
        let starter =
            Starter { store: &self.store, clock: &self.clock, cold_wait: self.cold_wait, background: &self.background };
        let rooms = &mut state.rooms;
        let site = assemble::site(
            &config,
            mint.clone(),
            Kept { room: &mut |room, settings| starter.room(rooms, &room.name, settings), upstreams: &upstreams },
        )
        .map_err(failed)?;
        self.metrics.set_rooms(site.rooms.iter().map(|room| room.room.name().as_str()));
        self.site.store(Arc::new(site));
        // Who is in a removed room finds it gone; requests under way still hold it.
        state.rooms.retain(|name, _| config.rooms.iter().any(|room| room.name == *name));
        state.upstreams = upstreams;
        state.mint = mint;
        state.config = config;
        state.watch(&self.background);
        if let Some(guard) = self.guard.get() {
            guard.set_token(state.config.server.admin_token.as_ref().map(|key| key.expose()));
        }
        Ok(Reloaded { changes, warnings })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Watches the health of the upstreams in force, and of no others.
    fn watch(&mut self, background: &tokio::runtime::Handle) {
        self.watches.clear();
        for (name, upstreams) in &self.upstreams {
            let mut tasks = JoinSet::new();
            let upstreams = upstreams.clone();
            tasks.spawn_on(async move { upstreams.watch().await }, background);
            self.watches.insert(name.clone(), tasks);
        }
    }
}

struct Starter<'s> {
    store: &'s Arc<dyn QueueStore>,
    clock: &'s Clock,
    cold_wait: Duration,
    background: &'s tokio::runtime::Handle,
}

impl Starter<'_> {
    /// The room of this name, running, with these settings.
    fn room(
        &self,
        rooms: &mut HashMap<RoomName, RunningRoom>,
        name: &RoomName,
        settings: crate::room::settings::RoomSettings,
    ) -> Arc<Room> {
        if let Some(running) = rooms.get(name) {
            running.room.set_settings(settings);
            return running.room.clone();
        }
        let (room, work) = Room::new(name.clone(), settings, self.store.clone(), self.clock.clone(), self.cold_wait);
        let tasks = {
            let _inside = self.background.enter();
            work.spawn(|| rand::random::<u32>().max(1))
        };
        rooms.insert(name.clone(), RunningRoom { room: room.clone(), _tasks: tasks });
        room
    }
}
