//! Waiting for a condition with a deadline: what tests do in place of sleeping and hoping.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long a look at the condition is put off after one in vain. Short: a test waits this long too much at most.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks `check` again and again until it says yes.
///
/// The deadline is real time, also under tokio's paused clock.
///
/// # Errors
/// [`Error::TimedOut`] with `what` in words, when `within` has passed.
pub async fn until<F, Fut>(what: &str, within: Duration, mut check: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    until_some(what, within, || {
        let answer = check();
        async { answer.await.then_some(()) }
    })
    .await
}

/// Asks `check` again and again until it has a value, and returns that.
///
/// # Errors
/// [`Error::TimedOut`] with `what` in words, when `within` has passed.
pub async fn until_some<T, F, Fut>(what: &str, within: Duration, mut check: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = check().await {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(Error::TimedOut { what: what.to_owned(), within });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
