//! What operators can see and do, carried out. Stands between the admin listener and the rooms.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::Shutdown;
use super::manager::Manager;
use crate::admin::{self, Control, Guard, Mistake, Order, OrderError, Readiness, ReloadReport, RoomReport};
use crate::config::Problem;
use crate::edge::site::SiteRoom;
use crate::room::Room;
use crate::store::{Detail, RoomPicture, StoreError};

/// Longest that an order waits to be seen here.
const MOST_LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// The controls of a running proxy.
struct Controls {
    manager: Arc<Manager>,
    shutdown: Shutdown,
}

/// Serves the operators' listener on the current runtime, until the end.
pub(super) async fn serve(manager: Arc<Manager>, listen: SocketAddr, shutdown: Shutdown) -> Result<(), std::io::Error> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let token = manager.config().server.admin_token;
    let guard = Arc::new(Guard::new(listen, token.as_ref().map(|key| key.expose())));
    manager.guard_with(guard.clone());
    let metrics = manager.metrics();
    let controls = Arc::new(Controls { manager, shutdown });
    let router = admin::router(guard, controls, metrics);
    tokio::spawn(async move {
        // Operators may look until the very end: the process ends with the drain, not with this.
        if let Err(error) = admin::serve(listener, router, std::future::pending()).await {
            tracing::error!(%error, "the operators' listener failed");
        }
    });
    Ok(())
}

#[async_trait]
impl Control for Controls {
    async fn rooms(&self) -> Vec<RoomReport> {
        let site = self.manager.site().load_full();
        let mut reports = Vec::new();
        for room in &site.rooms {
            reports.push(self.report(&room.room).await);
        }
        reports
    }

    async fn room(&self, name: &str) -> Option<RoomReport> {
        let site = self.manager.site().load_full();
        let index = site.room(name)?;
        Some(self.report(&site.rooms[index].room).await)
    }

    async fn order(&self, name: &str, order: Order) -> Result<RoomReport, OrderError> {
        let site = self.manager.site().load_full();
        let index = site.room(name).ok_or(OrderError::NoSuchRoom)?;
        let SiteRoom { room, .. } = &site.rooms[index];
        let done = match self.carry_out(room, order).await {
            // Another node was faster, or the connection is new: look, and once more.
            Err(StoreError::Superseded(_) | StoreError::Lost) => {
                self.see_again(room).await;
                self.carry_out(room, order).await
            }
            done => done,
        };
        done.map_err(|error| OrderError::Store(error.reason()))?;
        // What was ordered holds here from now on, not from the next look on.
        self.see_again(room).await;
        Ok(self.report(room).await)
    }

    async fn reload(&self) -> Result<ReloadReport, Vec<Mistake>> {
        let manager = self.manager.clone();
        // Reads files and resolves names: not on a thread that others wait for.
        let done = tokio::task::spawn_blocking(move || manager.reload()).await;
        let result = done.unwrap_or_else(|error| {
            let message = format!("the reload broke off: {error}");
            Err(vec![Problem { source: String::new(), line: None, key: String::new(), message }])
        });
        match result {
            Ok(reloaded) => Ok(ReloadReport {
                added: names(&reloaded.changes.added),
                removed: names(&reloaded.changes.removed),
                changed: names(&reloaded.changes.changed),
                warnings: reloaded.warnings.iter().map(ToString::to_string).collect(),
            }),
            Err(problems) => Err(problems.into_iter().map(mistake).collect()),
        }
    }

    fn readiness(&self) -> Readiness {
        if self.shutdown.begun() {
            return Readiness::NotReady("the process is ending".to_owned());
        }
        let now_ms = self.manager.now_ms();
        for room in &self.manager.site().load().rooms {
            let silent = room.room.silent_for(room.room.by_the_store(now_ms));
            let passes =
                room.room.settings().pass_after.is_some_and(|after| silent.is_some_and(|silent| silent >= after));
            if passes {
                continue;
            }
            if silent.is_some() {
                return Readiness::NotReady(format!("room {}: the store does not answer", room.room.name()));
            }
            if !room.room.view().known {
                return Readiness::NotReady(format!("room {}: the store has not been heard of yet", room.room.name()));
            }
        }
        Readiness::Ready
    }
}

impl Controls {
    /// The room as the store has it now; as it was last seen, when the store does not answer.
    async fn report(&self, room: &Room) -> RoomReport {
        let settings = room.settings().clone();
        let view = room.view().clone();
        let report = |generation, admitted_total, as_of_ms, waiting, granted, active, paused, stale| RoomReport {
            room: room.name().to_string(),
            generation,
            admitted_total,
            as_of_ms,
            waiting,
            granted,
            active,
            rate_per_s: settings.limits.rate_per_s,
            rate_measured: view.measured_rate.unwrap_or(0.0),
            max_active: settings.limits.max_active,
            paused,
            stale,
        };
        match self.manager.store().snapshot(room.name(), None, Detail::Counters).await {
            Ok(RoomPicture { epoch, admitted, now_ms, waiting, granted, active, pause, .. }) => {
                report(epoch.generation, admitted, now_ms, waiting, granted, active, pause % 2 == 1, false)
            }
            Err(_) => report(
                view.epoch.generation,
                view.seen.admitted,
                view.as_of_ms,
                view.waiting,
                view.granted,
                view.active,
                view.paused,
                true,
            ),
        }
    }

    /// Has the keeper look at the store, and waits until it has.
    async fn see_again(&self, room: &Room) {
        if !room.look_now(MOST_LOOK).await {
            tracing::warn!(room = %room.name(), "the room could not be looked at; its state shows within a second");
        }
    }

    async fn carry_out(&self, room: &Room, order: Order) -> Result<(), StoreError> {
        let (store, name) = (self.manager.store(), room.name());
        let view = room.view().clone();
        match order {
            Order::Pause => store.set_paused(name, view.epoch, view.seen, true).await.map(drop),
            Order::Resume => store.set_paused(name, view.epoch, view.seen, false).await.map(drop),
            Order::Flush => {
                let nonce = format!("{:032x}", rand::random::<u128>());
                store.flush(name, view.epoch, view.seen, &nonce).await.map(drop)
            }
            Order::Reset => store.reset(name, view.epoch).await.map(drop),
        }
    }
}

fn names(rooms: &[crate::store::RoomName]) -> Vec<String> {
    rooms.iter().map(ToString::to_string).collect()
}

fn mistake(problem: Problem) -> Mistake {
    Mistake { file: problem.source, line: problem.line, key: problem.key, message: problem.message }
}
