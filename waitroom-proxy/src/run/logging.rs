//! Logs to standard error: `WAITROOM_LOG` filters (`info` unless said otherwise), `WAITROOM_LOG_FORMAT=json`
//! writes one JSON object a line.

use tracing_subscriber::EnvFilter;

/// Starts logging for the process; a second call changes nothing.
pub(super) fn start() {
    let asked = std::env::var("WAITROOM_LOG").unwrap_or_else(|_| "info".to_owned());
    let (filter, wrong) = match EnvFilter::try_new(&asked) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Somebody who embeds the library may have set up logging already; then theirs stays.
    let _already = match std::env::var("WAITROOM_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().try_init(),
        _ => builder.try_init(),
    };
    if let Some(error) = wrong {
        tracing::warn!(%error, "WAITROOM_LOG is not a filter; logging at info");
    }
}
