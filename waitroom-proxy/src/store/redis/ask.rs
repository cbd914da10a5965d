//! Asking several servers the same question at once, and choosing among their answers. Keeps no connection.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisResult};
use tokio::time::{Instant, timeout_at};

use super::sentences::Failure;

/// Once one has answered, the others have this long to do so, too.
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(50);

/// Connects to a server; the caller bounds the time.
pub(super) async fn connect(info: ConnectionInfo, limit: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(limit)).set_response_timeout(Some(limit));
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

/// What those who answered in time said; without any, the failure that says most. Waits for the slow only as
/// long as nobody has answered, plus a short while: one dead host must not take all the time there is.
pub(super) async fn all<T>(
    questions: impl IntoIterator<Item = impl Future<Output = Result<T, Failure>>>,
) -> Result<Vec<T>, Failure> {
    let mut open: FuturesUnordered<_> = questions.into_iter().collect();
    let (mut answers, mut failure) = (Vec::new(), None::<Failure>);
    let mut soon = None;
    loop {
        let next = match soon {
            None => Ok(open.next().await),
            Some(soon) => timeout_at(soon, open.next()).await,
        };
        match next {
            Ok(Some(Ok(answer))) => {
                soon.get_or_insert_with(|| Instant::now() + WAIT_FOR_OTHERS);
                answers.push(answer);
            }
            // A refusal says more than silence.
            Ok(Some(Err(other))) if failure.as_ref().is_none_or(|known| !known.answered) => failure = Some(other),
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    match failure {
        Some(failure) if answers.is_empty() => Err(failure),
        _ => Ok(answers),
    }
}

/// The answer of the highest rank; among those the one given most often.
pub(super) fn best<T: Clone + PartialEq>(answers: &[(u64, T)]) -> Option<T> {
    let rank = answers.iter().map(|(rank, _)| *rank).max()?;
    let top: Vec<&T> = answers.iter().filter(|(one, _)| *one == rank).map(|(_, answer)| answer).collect();
    top.iter().max_by_key(|answer| top.iter().filter(|other| other == answer).count()).map(|answer| (*answer).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_counts_and_then_the_majority() {
        assert_eq!(best(&[(1, "a"), (0, "b"), (0, "b")]), Some("a"));
        assert_eq!(best(&[(1, "a"), (1, "b"), (1, "b"), (0, "c")]), Some("b"));
        assert_eq!(best::<&str>(&[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_one_is_waited_for_only_while_nobody_has_answered() {
        let ask = |after: Option<u64>| async move {
            match after {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            Ok(after)
        };
        let began = Instant::now();
        assert_eq!(all([ask(None), ask(Some(1)), ask(Some(20))]).await.ok(), Some(vec![Some(1), Some(20)]));
        assert_eq!(began.elapsed(), Duration::from_millis(1) + WAIT_FOR_OTHERS);
        let began = Instant::now();
        assert_eq!(all([ask(None), ask(Some(150))]).await.ok(), Some(vec![Some(150)]), "late, and the only one");
        assert_eq!(began.elapsed(), Duration::from_millis(150) + WAIT_FOR_OTHERS);
    }
}
