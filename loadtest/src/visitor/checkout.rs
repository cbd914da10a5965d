//! Paying, and looking again at what one was told: the part of a visit that the audit lives on.

use std::{collections::BTreeSet, sync::Arc, sync::atomic::Ordering::Relaxed};

use rand::RngExt;
use serde_json::json;

use super::{Outcome, Stop, Visitor, shop};
use crate::{
    accounts::Account,
    contract::{Reservation, Reservations, Transactions, Wallet},
    site::{Answer, Ask, Site},
};

/// How many buyers charge their wallet before they pay, though they might not have to.
const CHARGE_RATIO: f64 = 0.1;

/// Most pages of a list that are read. More would be a run of its own.
const MAX_PAGES: usize = 200;

impl Visitor {
    /// Notes the balance before the first visitor of this user does anything.
    pub(super) async fn open_book(&mut self, account: &Account) -> Result<(), Stop> {
        let _alone = account.moving.write().await;
        if account.book().opening.is_none() {
            let wallet: Wallet = self.audited("wallet", "/wallet").await?;
            account.book().opening = Some(wallet.balance);
        }
        Ok(())
    }

    /// Pays for the hold; charges the wallet when that is wanted or needed.
    pub(super) async fn buy(&mut self, account: &Account, kept: shop::Kept) -> Result<Outcome, Stop> {
        if self.rng.random_bool(CHARGE_RATIO) {
            self.charge(account, kept.hold.amount).await?;
        }
        let mut answer = self.pay(account, &kept).await?;
        if answer.problem() == "insufficient-balance" {
            self.charge(account, kept.hold.amount).await?;
            answer = self.pay(account, &kept).await?;
        }
        let reservation: Reservation = match answer.status.as_u16() {
            201 => answer.json().ok_or_else(|| shop::not_the_contract("pay"))?,
            402 | 409 | 422 => return Err(shop::refused(&answer)),
            403 if answer.problem().contains("limit") => return Err(shop::refused(&answer)),
            _ => return Err(shop::unexpected("pay", &answer)),
        };
        self.visit.seats = kept.seats.len();
        self.world.tally.booked.fetch_add(1, Relaxed);
        self.world.audit.sold(self.number, account.user, &reservation);
        self.compare(&kept, &reservation);
        self.look_again(account, &reservation).await;
        Ok(Outcome::Booked)
    }

    async fn pay(&mut self, account: &Account, kept: &shop::Kept) -> Result<Answer, Stop> {
        let path = self.api("/reservations");
        let body = json!({ "hold_id": kept.hold.hold_id, "payment": { "method": "wallet" } }).to_string();
        let _moving = account.moving.read().await;
        let answer = self.post("pay", &path, body).await;
        match paid(&answer, kept.hold.amount) {
            Moved::Yes(amount) => account.book().paid += amount,
            Moved::No => {}
            Moved::Unsure => account.book().unsure = true,
        }
        answer
    }

    async fn charge(&mut self, account: &Account, amount: i64) -> Result<(), Stop> {
        let path = self.api("/wallet/charges");
        let _moving = account.moving.read().await;
        let answer = self.post("charge", &path, json!({ "amount": amount }).to_string()).await;
        match paid(&answer, amount) {
            Moved::Yes(_) => account.book().charged += amount,
            Moved::No => {}
            Moved::Unsure => account.book().unsure = true,
        }
        let answer = answer?;
        if answer.status.as_u16() == 201 { Ok(()) } else { Err(shop::unexpected("charge", &answer)) }
    }

    /// The reservation must be what was held.
    fn compare(&self, kept: &shop::Kept, reservation: &Reservation) {
        let held: BTreeSet<&str> = kept.seats.iter().map(String::as_str).collect();
        let sold: BTreeSet<&str> = reservation.seat_names().collect();
        if held != sold || (kept.schedule, kept.hold.amount) != (reservation.schedule_id, reservation.amount) {
            let id = &reservation.reservation_id;
            let what = format!("reservation {id} is not what was held: {held:?} for {}", kept.hold.amount);
            self.world.audit.broken("told", self.number, what);
        }
    }

    /// Before leaving, while there is a session: the reservation, the user's list, the wallet and its ledger.
    async fn look_again(&mut self, account: &Account, told: &Reservation) {
        let has_waiting_room = self.jar.room().is_some() || self.visit.lined_up.is_some();
        if has_waiting_room && !self.jar.has_session() {
            // The site ended the session with the purchase, as it may.
            self.world.audit.not_audited("the session ended with the purchase");
        } else if let Err(stop) = self.look_at_reservations(account, told).await {
            self.world.audit.not_audited(reason(&stop));
        }
        if has_waiting_room && !self.jar.has_session() && self.world.audit_site.is_none() {
            return;
        }
        if let Err(stop) = self.look_at_wallet(account).await {
            self.world.audit.not_audited(reason(&stop));
        }
    }

    async fn look_at_reservations(&mut self, account: &Account, told: &Reservation) -> Result<(), Stop> {
        let one: Reservation = self.read("reservation", &format!("/reservations/{}", told.reservation_id)).await?;
        if !one.is_same_purchase(told) {
            let what = format!("reservation {} reads differently from its confirmation", told.reservation_id);
            self.world.audit.broken("told", self.number, what);
        }
        let mut listed = Vec::new();
        let mut path = Some("/reservations".to_owned());
        for _ in 0..MAX_PAGES {
            let Some(page) = path.take() else { break };
            let mut list: Reservations = self.read("reservations", &page).await?;
            listed.append(&mut list.reservations);
            path = next_page("/reservations", list.next_cursor);
        }
        self.world.audit.confirm(self.number, told, &listed);
        for reservation in &listed {
            self.world.audit.sold(self.number, account.user, reservation);
        }
        Ok(())
    }

    async fn look_at_wallet(&mut self, account: &Account) -> Result<(), Stop> {
        let _alone = account.moving.write().await;
        let wallet: Wallet = self.audited("wallet", "/wallet").await?;
        let mut sum = 0_i64;
        let mut path = Some("/wallet/transactions".to_owned());
        for _ in 0..MAX_PAGES {
            let Some(page) = path.take() else { break };
            let list: Transactions = self.audited("transactions", &page).await?;
            sum = list.transactions.iter().fold(sum, |sum, row| sum.saturating_add(row.amount));
            path = next_page("/wallet/transactions", list.next_cursor);
        }
        let book = account.book().clone();
        for what in book.check(account.user, wallet.balance, sum) {
            self.world.audit.broken("I16", self.number, what);
        }
        self.world.audit.wallet(!book.unsure);
        Ok(())
    }

    /// A read of the user's money: at the service itself where its address is known, else through the door.
    async fn audited<T: serde::de::DeserializeOwned>(&mut self, what: &'static str, path: &str) -> Result<T, Stop> {
        let world = Arc::clone(&self.world);
        match &world.audit_site {
            None => self.read(what, path).await,
            Some(service) => self.read_at(service, what, path).await,
        }
    }

    async fn read_at<T: serde::de::DeserializeOwned>(
        &self,
        service: &Site,
        what: &'static str,
        path: &str,
    ) -> Result<T, Stop> {
        let answer = service.ask(&Ask { authorization: self.authorization.as_deref(), ..Ask::get(what, path) }).await?;
        if !answer.status.is_success() {
            return Err(shop::unexpected(what, &answer));
        }
        answer.json().ok_or_else(|| shop::not_the_contract(what))
    }
}

/// Whether a request moved money.
#[derive(Debug, PartialEq, Eq)]
enum Moved {
    Yes(i64),
    No,
    /// It may have: the answer was lost, or was no verdict.
    Unsure,
}

fn paid(answer: &Result<Answer, Stop>, amount: i64) -> Moved {
    match answer {
        Ok(answer) if answer.status.as_u16() == 201 => Moved::Yes(amount),
        Ok(answer) if answer.status.is_client_error() && !answer.problem().contains("progress") => Moved::No,
        _ => Moved::Unsure,
    }
}

fn reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::Lost => "the session ended",
        Stop::End(_) => "the site did not answer as it should",
    }
}

/// Where a list goes on.
fn next_page(list: &str, cursor: Option<String>) -> Option<String> {
    cursor.map(|cursor| format!("{list}?cursor={cursor}"))
}
