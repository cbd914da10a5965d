//! `run`: puts the parts together, starts them, and stops them in the right order.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use pingora::services::listening::Service;

use crate::config::{Loaded, Source, StoreUrl};
use crate::edge::Edge;
use crate::edge::front::Front;
use crate::edge::gate::Gate;
use crate::metrics::{MeteredStore, Metrics};
use crate::room::Clock;
use crate::store::{self, QueueStore};

mod assemble;
mod control;
mod logging;
mod manager;
mod shutdown;

use manager::Manager;
use shutdown::Shutdown;

/// How long requests under way may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

/// How long a node that remembers nothing waits for one that does before it starts a lost room anew.
const COLD_WAIT: Duration = Duration::from_secs(3);

/// What failed at start, in a sentence.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot listen on {0}: {1}; give another address in server.listen, or stop what uses it")]
    Listen(SocketAddr, std::io::Error),
    #[error(transparent)]
    Open(#[from] store::OpenError),
    #[error(transparent)]
    Check(#[from] store::CheckError),
    #[error("the keys can't be used: {0}")]
    Keys(#[from] queue_token::KeyError),
    #[error(transparent)]
    Assemble(#[from] assemble::AssembleError),
    #[error("the metrics can't be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the background threads can't be started: {0}")]
    Threads(std::io::Error),
}

/// Runs until told to stop. Every failure at start is one sentence and exit status 1.
#[must_use]
pub fn run(loaded: Loaded, source: Source) -> ExitCode {
    logging::start();
    match start(loaded, source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start(loaded: Loaded, source: Source) -> Result<(), StartError> {
    let Loaded { mut config, warnings, files } = loaded;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // The check has warned of keys that are missing.
    config.tokens.fill_missing(&mut |buffer| rand::Rng::fill_bytes(&mut rand::rng(), buffer))?;
    // Found out now, because Pingora panics over an address that is taken.
    let listen = config.server.listen.iter().map(|address| probe(*address)).collect::<Result<Vec<_>, _>>()?;
    let admin_listen = probe(config.server.admin_listen)?;

    let background = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("background")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let in_memory = config.store.url == StoreUrl::Memory;
    let metrics = Arc::new(Metrics::new(!in_memory)?);
    let store: Arc<dyn QueueStore> = Arc::new(MeteredStore::new(open_store(&config.store)?, metrics.clone()));
    background.block_on(store.check())?;

    let shutdown = Shutdown::default();
    let max_connections = config.server.max_connections;
    let cold_wait = if in_memory { Duration::ZERO } else { COLD_WAIT };
    let manager =
        Manager::new(config, source, store, clock(), cold_wait, background.handle().clone(), metrics.clone())?;
    let manager = Arc::new(manager);
    let edge = Edge::new(manager.site(), clock(), metrics.clone());
    let front = Front::new(manager.site(), clock(), metrics.clone());
    let (server, connections) = server(edge, front, &listen, max_connections);
    metrics.watch_connections(connections.clone());

    background
        .block_on(control::serve(manager.clone(), admin_listen, shutdown.clone()))
        .map_err(|error| StartError::Listen(admin_listen, error))?;
    background.spawn(shutdown::reload_on_hangup(manager.clone()));
    manager.watch_files(files);
    for address in &listen {
        tracing::info!("visitors: http://{address}");
    }
    tracing::info!("operators: http://{admin_listen}");
    server.run(RunArgs { shutdown_signal: Box::new(shutdown.watch(connections, DRAIN)) });
    background.shutdown_background();
    Ok(())
}

fn open_store(settings: &crate::config::Store) -> Result<Arc<dyn QueueStore>, StartError> {
    Ok(match &settings.url {
        StoreUrl::Memory => store::open("memory://")?,
        StoreUrl::Redis(url) => store::open_with(url.expose(), settings.min_acks)?,
    })
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "an edge of the process reads the clock")]
fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The address with a real port, if it can be listened on.
fn probe(address: SocketAddr) -> Result<SocketAddr, StartError> {
    let listener = TcpListener::bind(address).map_err(|error| StartError::Listen(address, error))?;
    listener.local_addr().map_err(|error| StartError::Listen(address, error))
}

/// Threads: one a core. Connections stay on their thread, because tunnels break now and then when tasks
/// are stolen.
fn server(
    edge: Edge,
    front: Front,
    listen: &[SocketAddr],
    max_connections: usize,
) -> (Server, Arc<std::sync::atomic::AtomicUsize>) {
    let conf = ServerConf {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        work_stealing: false,
        // The drain ends the process as soon as nothing is under way; this is only its bound.
        grace_period_seconds: Some(DRAIN.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = HttpProxy::new(edge, server.configuration.clone());
    proxy.handle_init_modules();
    let gate = Gate::new(proxy, front, max_connections);
    let connections = gate.count();
    let mut service = Service::new("visitors".to_owned(), gate);
    for address in listen {
        // The front has buffers of its own, and none while a connection is idle.
        let buffers = L4BufferSettings::unbuffered();
        service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
    }
    server.add_service(service);
    (server, connections)
}
