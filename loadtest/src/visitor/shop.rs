//! Inside: concerts, schedules, seats, a hold. What follows a hold is `checkout`.

use std::sync::Arc;

use http::Method;
use rand::{Rng, RngExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Intent, Outcome, Stop, Visitor};
use crate::{
    contract::{Concerts, Hold, Id, Schedules, SeatMap},
    seats::choose,
    site::{Answer, Ask, unix_now},
};

/// How often somebody whose seats were just taken looks for others.
const MAX_HOLD_TRIES: u32 = 4;

/// Most seats that one visitor wants. The service's own limit is the same by default.
const MAX_SEATS: usize = 4;

/// Seats that are kept for this visitor.
pub(super) struct Kept {
    pub(super) schedule: i64,
    pub(super) seats: Vec<String>,
    pub(super) hold: Hold,
}

impl Visitor {
    pub(super) async fn shop(&mut self) -> Result<Outcome, Stop> {
        let world = Arc::clone(&self.world);
        let Some(account) = world.accounts.as_ref().and_then(|accounts| accounts.of_visitor(self.number)) else {
            return self.look_around().await;
        };
        if self.authorization.is_none() {
            let bearer =
                world.accounts.as_ref().map(|accounts| accounts.bearer().authorization(account.user, unix_now()));
            let header = bearer.transpose().map_err(|error| Stop::End(Outcome::Failed(error.to_string())))?;
            self.authorization = header.map(String::into_boxed_str);
        }
        self.open_book(account).await?;
        let schedule = self.choose_schedule().await?;
        if self.intent == Intent::Browse {
            self.seat_map(schedule).await?;
            return Ok(Outcome::Browsed);
        }
        let kept = self.hold_seats(schedule).await?;
        self.think().await?;
        if self.intent == Intent::HoldAndLetGo {
            return self.let_go(&kept.hold).await;
        }
        self.buy(account, kept).await
    }

    /// On a site that is not the reservation service: the page again, as people do.
    async fn look_around(&mut self) -> Result<Outcome, Stop> {
        let entry = self.world.habits.entry.clone();
        for _ in 0..2 {
            self.think().await?;
            let answer = self.call(Ask::get("page again", &entry)).await?;
            if answer.status.is_server_error() {
                return Err(unexpected("page again", &answer));
            }
        }
        Ok(Outcome::Browsed)
    }

    async fn choose_schedule(&mut self) -> Result<i64, Stop> {
        let concerts: Concerts = self.read("concerts", "/concerts").await?;
        self.think().await?;
        let concert = any(&concerts.concerts, &mut self.rng).ok_or_else(|| nothing("no concert is on"))?;
        let schedules: Schedules = self.read("schedules", &format!("/concerts/{concert}/schedules")).await?;
        self.think().await?;
        any(&schedules.schedules, &mut self.rng).ok_or_else(|| nothing("the concert has no schedule"))
    }

    async fn seat_map(&mut self, schedule: i64) -> Result<SeatMap, Stop> {
        self.read("seats", &format!("/schedules/{schedule}/seats")).await
    }

    /// One to four neighbouring seats; when somebody was faster, others from a fresh map.
    async fn hold_seats(&mut self, schedule: i64) -> Result<Kept, Stop> {
        let wanted = self.rng.random_range(1..=MAX_SEATS);
        let path = self.api(&format!("/schedules/{schedule}/holds"));
        for _ in 0..MAX_HOLD_TRIES {
            let map = self.seat_map(schedule).await?;
            let seats = choose(&map.seats, wanted, &mut self.rng);
            drop(map);
            if seats.is_empty() {
                return Err(nothing("sold out"));
            }
            self.think().await?;
            let answer = self.post("hold", &path, json!({ "seats": seats }).to_string()).await?;
            match (answer.status.as_u16(), answer.json::<Hold>()) {
                (201, Some(hold)) => return Ok(Kept { schedule, seats, hold }),
                (201, None) => return Err(not_the_contract("hold")),
                (409, _) if answer.problem() == "seat-taken" => {}
                (409 | 422, _) => return Err(refused(&answer)),
                _ => return Err(unexpected("hold", &answer)),
            }
        }
        Err(nothing("others were faster each time"))
    }

    async fn let_go(&mut self, hold: &Hold) -> Result<Outcome, Stop> {
        let path = self.api(&format!("/holds/{}", hold.hold_id));
        let answer = self.call(Ask { method: Method::DELETE, ..Ask::get("let go", &path) }).await?;
        if answer.status.as_u16() == 204 { Ok(Outcome::LetGo) } else { Err(unexpected("let go", &answer)) }
    }

    /// A `GET` of the API that has to succeed.
    pub(super) async fn read<T: DeserializeOwned>(&mut self, what: &'static str, path: &str) -> Result<T, Stop> {
        let path = self.api(path);
        let answer = self.call(Ask::get(what, &path)).await?;
        if !answer.status.is_success() {
            return Err(unexpected(what, &answer));
        }
        answer.json().ok_or_else(|| not_the_contract(what))
    }

    /// A `POST` with a key of its own, so that it can be sent again when the answer is lost.
    pub(super) async fn post(&mut self, what: &'static str, path: &str, body: String) -> Result<Answer, Stop> {
        self.keys += 1;
        let key = format!("{:016x}-{}-{}", self.world.run_id, self.number, self.keys);
        let ask = Ask { method: Method::POST, idempotency_key: Some(&key), body: Some(body), ..Ask::get(what, path) };
        self.call(ask).await
    }

    /// Asks as this visitor's user. When the waiting room answers, the session is lost.
    pub(super) async fn call(&mut self, ask: Ask<'_>) -> Result<Answer, Stop> {
        let authorization = self.authorization.clone();
        let answer = self.ask(Ask { authorization: authorization.as_deref(), ..ask }).await?;
        if answer.is_waiting_room() { Err(Stop::Lost) } else { Ok(answer) }
    }

    pub(super) fn api(&self, path: &str) -> String {
        format!("{}{path}", self.world.habits.api)
    }
}

fn any(ids: &[Id], rng: &mut impl Rng) -> Option<i64> {
    if ids.is_empty() { None } else { ids.get(rng.random_range(0..ids.len())).map(|id| id.id) }
}

fn nothing(why: &str) -> Stop {
    Stop::End(Outcome::Refused(why.to_owned()))
}

/// The shop's rules say no.
pub(super) fn refused(answer: &Answer) -> Stop {
    Stop::End(Outcome::Refused(match answer.problem() {
        name if name.is_empty() => answer.status.as_u16().to_string(),
        name => name,
    }))
}

/// An answer that no rule explains.
pub(super) fn unexpected(what: &str, answer: &Answer) -> Stop {
    Stop::End(Outcome::Failed(format!("{what}: {} {}", answer.status.as_u16(), answer.problem()).trim_end().to_owned()))
}

pub(super) fn not_the_contract(what: &str) -> Stop {
    Stop::End(Outcome::Failed(format!("{what}: not the JSON of the contract")))
}
