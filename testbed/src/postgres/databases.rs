//! Template databases and their clones: one for each test, so that tests need no cleaning up and no order.

use std::sync::atomic::{AtomicU64, Ordering};

use super::PrivatePostgres;
use crate::error::{Error, Result};

/// Sequences write to the log only every 32 numbers, how far ahead is kept with them, and a clone is logged with the
/// number that it has: after a crash it would give out those in between a second time. Set, a sequence logs its next.
const FORGET_LOGGED_AHEAD: &str = "SELECT count(setval(format('%I.%I', schemaname, sequencename)::regclass, last_value)) \
                                   FROM pg_sequences WHERE last_value IS NOT NULL";

/// A database of one test. It goes with its server.
#[derive(Debug)]
pub struct TestDatabase<'a> {
    server: &'a PrivatePostgres,
    name: String,
}

impl TestDatabase<'_> {
    /// Its URL, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its URL as seen through a wire at `addr`.
    #[must_use]
    pub fn url_via(&self, addr: std::net::SocketAddr) -> String {
        self.server.url_via(addr, &self.name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL in it and returns its rows: one a line, columns parted by `|`.
    ///
    /// # Errors
    /// [`Error::Sql`] with what the server answered.
    pub async fn sql(&self, sql: &str) -> Result<String> {
        self.server.sql(&self.name, sql).await
    }
}

impl PrivatePostgres {
    /// Makes the database `name` and lets `prepare` fill it (schema, seed), given its URL.
    ///
    /// A second call with the same name does nothing; calls at the same time wait for the first.
    ///
    /// # Errors
    /// [`Error::Template`] with what `prepare` returned, [`Error::Sql`] when the server refuses.
    pub async fn create_template<F, Fut, T, E>(&self, name: &str, prepare: F) -> Result<()>
    where
        F: FnOnce(String) -> Fut,
        Fut: Future<Output = std::result::Result<T, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut ready = self.templates.lock().await;
        if ready.contains(name) {
            return Ok(());
        }
        let quoted = quote(name);
        // Left behind half made when an earlier `prepare` failed or its test was cancelled.
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")).await?;
        self.sql("postgres", &format!("CREATE DATABASE {quoted}")).await?;
        let prepared = prepare(self.url(name)).await;
        prepared.map_err(|cause| Error::Template { name: name.to_owned(), cause: cause.into() })?;
        self.sql(name, FORGET_LOGGED_AHEAD).await?;
        // A template with a connection left in it cannot be cloned.
        self.sql("postgres", &format!("ALTER DATABASE {quoted} WITH ALLOW_CONNECTIONS false")).await?;
        let literal = name.replace('\'', "''");
        let close = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname =";
        self.sql("postgres", &format!("{close} '{literal}'")).await?;
        ready.insert(name.to_owned());
        Ok(())
    }

    /// A database that it has already, such as the one that it has copied from its primary.
    #[must_use]
    pub fn database(&self, name: &str) -> TestDatabase<'_> {
        TestDatabase { server: self, name: name.to_owned() }
    }

    /// A fresh clone of a template, for one test.
    ///
    /// # Errors
    /// [`Error::Sql`] when there is no such template.
    pub async fn database_from(&self, template: &str) -> Result<TestDatabase<'_>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // One at a time: a template that is being cloned cannot be cloned by another.
        let _alone = self.templates.lock().await;
        let sql = format!("CREATE DATABASE {} TEMPLATE {}", quote(&name), quote(template));
        self.sql("postgres", &sql).await?;
        Ok(TestDatabase { server: self, name })
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
