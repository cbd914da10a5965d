//! The gateway's book: how every payment stands. One payment, one effect of each kind, however often it is asked for.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::script::Operation;

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Set aside.
    Authorised,
    /// Refused.
    Declined,
    /// Taken.
    Captured,
    /// Let go, or never to be set aside.
    Voided,
    /// Given back.
    Refunded,
}

impl Status {
    const ALL: [(&str, Self); 5] = [
        ("authorised", Self::Authorised),
        ("declined", Self::Declined),
        ("captured", Self::Captured),
        ("voided", Self::Voided),
        ("refunded", Self::Refunded),
    ];

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(name, status)| (status == self).then_some(name)).unwrap_or_default()
    }
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The client's id of it.
    pub id: String,
    /// How it stands.
    pub status: Status,
    /// In the smallest unit; 0 of one that was voided before it came.
    pub amount: i64,
    /// In which currency.
    pub currency: String,
    /// From where.
    pub source: Option<String>,
    /// Why it was declined.
    pub reason: Option<String>,
}

impl Payment {
    /// As the gateway tells of it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "payment_id": self.id, "status": self.status.name(), "amount": self.amount,
                "currency": self.currency, "source": self.source, "reason": self.reason })
    }

    fn from_json(line: &Value) -> Option<Self> {
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let status = text("status")?;
        Some(Self {
            id: text("payment_id")?,
            status: Status::ALL.into_iter().find_map(|(name, known)| (name == status).then_some(known))?,
            amount: line.get("amount")?.as_i64()?,
            currency: text("currency")?,
            source: text("source"),
            reason: text("reason"),
        })
    }
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It stands as asked for.
    Done(Payment),
    /// It stands otherwise, and so it stays.
    Otherwise(Payment),
    /// Never heard of.
    Unknown,
    /// The same id with other money.
    OtherMoney,
}

/// All payments, and the file that keeps them.
#[derive(Debug, Default)]
pub(super) struct Book {
    payments: HashMap<String, Payment>,
    order: Vec<String>,
    /// One line a change; the last one of a payment counts.
    file: Option<File>,
}

impl Book {
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut book = Self::default();
        let Some(path) = path else { return Ok(book) };
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        for line in BufReader::new(&file).lines() {
            let line: Value = serde_json::from_str(&line?).map_err(io::Error::other)?;
            let payment = Payment::from_json(&line).ok_or_else(|| io::Error::other("a line that is no payment"))?;
            book.put(payment)?;
        }
        book.file = Some(file);
        Ok(book)
    }

    pub(super) fn payments(&self) -> Vec<Payment> {
        self.order.iter().filter_map(|id| self.payments.get(id)).cloned().collect()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Payment> {
        self.payments.get(id)
    }

    /// Sets money aside, or declines; what is in the book already stays.
    pub(super) fn authorise(&mut self, wanted: Payment) -> io::Result<Entry> {
        let Some(known) = self.payments.get(&wanted.id) else {
            self.put(wanted.clone())?;
            return Ok(if wanted.status == Status::Declined { Entry::Otherwise(wanted) } else { Entry::Done(wanted) });
        };
        Ok(match known.status {
            Status::Voided | Status::Refunded | Status::Declined => Entry::Otherwise(known.clone()),
            _ if (known.amount, &known.currency, &known.source)
                != (wanted.amount, &wanted.currency, &wanted.source) =>
            {
                Entry::OtherMoney
            }
            Status::Authorised | Status::Captured => Entry::Done(known.clone()),
        })
    }

    /// Captures, voids or refunds.
    pub(super) fn step(&mut self, operation: Operation, id: &str) -> io::Result<Entry> {
        let (from, to) = match operation {
            Operation::Capture => (Status::Authorised, Status::Captured),
            Operation::Void => (Status::Authorised, Status::Voided),
            Operation::Refund => (Status::Captured, Status::Refunded),
            Operation::Authorise | Operation::Ask => return Ok(Entry::Unknown),
        };
        let Some(known) = self.payments.get(id).cloned() else {
            if operation != Operation::Void {
                return Ok(Entry::Unknown);
            }
            // An authorisation that comes later finds this.
            let (amount, currency) = (0, String::new());
            let voided = Payment { id: id.to_owned(), status: to, amount, currency, source: None, reason: None };
            self.put(voided.clone())?;
            return Ok(Entry::Done(voided));
        };
        if known.status == to {
            return Ok(Entry::Done(known));
        }
        if known.status != from {
            return Ok(Entry::Otherwise(known));
        }
        let moved = Payment { status: to, ..known };
        self.put(moved.clone())?;
        Ok(Entry::Done(moved))
    }

    fn put(&mut self, payment: Payment) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", payment.to_json())?;
        }
        if self.payments.insert(payment.id.clone(), payment.clone()).is_none() {
            self.order.push(payment.id);
        }
        Ok(())
    }
}
