//! A whole run: the crowd arrives, everybody finishes, the report is made.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    accounts::{Accounts, Bearer},
    arrivals::{Spread, arrivals},
    audit::Audit,
    history::History,
    progress,
    report::{Report, RunFacts},
    site::{Ask, Failure, Limits, Site, SiteError, unix_now},
    tally::Tally,
    visitor::{Outcome, Visit, visit},
    world::{Habits, World},
};

/// A checked order for a run.
pub struct Plan {
    /// The site, through its waiting room.
    pub url: String,
    /// The service itself, for wallets.
    pub audit_url: Option<String>,
    /// How many visitors.
    pub visitors: usize,
    /// Over how long they arrive.
    pub arrive: Duration,
    /// How their arrivals are spread.
    pub spread: Spread,
    /// How they behave.
    pub habits: Habits,
    /// Who they are; nobody in particular when absent.
    pub users: Option<(Bearer, std::ops::RangeInclusive<u64>)>,
    /// Connections and time-outs.
    pub limits: Limits,
    /// Where to write what each visitor saw.
    pub history: Option<PathBuf>,
    /// Whether to show progress.
    pub progress: bool,
}

/// Why a run could not start, or its record could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address is wrong.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Nobody answers there.
    #[error("nobody answers at {url}: {failure}. Is it running?")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        failure: Failure,
    },
    /// The history cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    History {
        /// Where to.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Runs to the end, or until `stop` says so.
pub async fn run(plan: Plan, run_id: u64, stop: watch::Receiver<bool>) -> Result<Report, RunError> {
    let tally = Arc::new(Tally::default());
    let site = reachable(&plan.url, &plan).await?;
    let audit_site = match &plan.audit_url {
        Some(url) => Some(reachable(url, &plan).await?.counted(&tally)),
        None => None,
    };
    let history_error = |path: &PathBuf, error| RunError::History { path: path.clone(), error };
    let history = match &plan.history {
        Some(path) => Some(History::create(path).map_err(|error| history_error(path, error))?),
        None => None,
    };
    let due = arrivals(plan.visitors, plan.arrive, plan.spread, plan.habits.seed);
    let seed = plan.habits.seed;
    let world = Arc::new(World {
        site: site.counted(&tally),
        audit_site,
        habits: plan.habits,
        accounts: plan.users.map(|(bearer, users)| Accounts::new(bearer, users)),
        tally: Arc::clone(&tally),
        audit: Audit::default(),
        history,
        started: Instant::now(),
        run_id,
        stop,
    });
    let started_at = unix_now();
    let shown = plan.progress.then(|| tokio::spawn(progress::show(Arc::clone(&tally), plan.visitors)));
    let (visits, generator_late) = crowd(&world, due).await;
    if let Some(shown) = shown {
        shown.abort();
        // The bar is gone before the summary is printed.
        let _ = shown.await;
    }
    if let (Some(history), Some(path)) = (&world.history, &plan.history) {
        history.finish().map_err(|error| history_error(path, error))?;
    }
    let facts = RunFacts {
        url: plan.url,
        seed,
        visitors: plan.visitors,
        arrive: plan.arrive,
        started_at,
        took: world.now(),
        stopped_early: *world.stop.borrow(),
        generator_late,
    };
    Ok(Report::new(facts, &visits, tally.counts(), world.audit.findings()))
}

/// Everybody arrives when due, however slow the site is, and is waited for. Also answers how late the
/// latest arrival was.
async fn crowd(world: &Arc<World>, due: Vec<Duration>) -> (Vec<Visit>, Duration) {
    let mut visitors = JoinSet::new();
    let mut visits = Vec::with_capacity(due.len());
    let mut late = Duration::ZERO;
    for (number, due) in due.into_iter().enumerate() {
        if !world.sleep(due.saturating_sub(world.now())).await {
            break;
        }
        late = late.max(world.now().saturating_sub(due));
        visitors.spawn(visit(Arc::clone(world), number, due));
        while let Some(done) = visitors.try_join_next() {
            keep(&mut visits, done);
        }
    }
    while let Some(done) = visitors.join_next().await {
        keep(&mut visits, done);
    }
    (visits, late)
}

fn keep(visits: &mut Vec<Visit>, done: Result<Visit, tokio::task::JoinError>) {
    visits.push(done.unwrap_or_else(|error| Visit::lost(Outcome::Failed(format!("the load test itself: {error}")))));
}

/// A site that gives any answer at all. Asked with a counter of its own: this is not a visitor.
async fn reachable(url: &str, plan: &Plan) -> Result<Site, RunError> {
    let site = Site::new(url, plan.limits, Arc::default())?;
    // Without a ticket this costs the queue nothing; a site without a waiting room says 404.
    match site.ask(&Ask::get("probe", "/queue/status")).await {
        Ok(_) => Ok(site),
        Err(failure) => Err(RunError::Unreachable { url: url.to_owned(), failure }),
    }
}
