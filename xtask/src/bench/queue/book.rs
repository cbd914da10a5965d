//! What was measured, beside its reference and its aim: printed as it comes, and written as JSON. Judges only numbers.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo;

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// Reported only.
    None,
}

/// One line of the account.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) aim: Aim,
    /// What it is compared with, and whatever a reader must know of it.
    pub(super) beside: String,
}

/// All lines so far.
#[derive(Debug, Default)]
pub(super) struct Book {
    rows: Vec<Row>,
}

impl Book {
    /// Prints a line and keeps it.
    pub(super) fn note(&mut self, row: Row) {
        println!("  {:<58} {:>12} {:<5} {:<22} {}", row.what, number(row.value), row.unit, row.verdict(), row.beside);
        self.rows.push(row);
    }

    /// Says how many were missed, and writes everything.
    pub(super) fn write(&self) -> Result<()> {
        let missed: Vec<&str> =
            self.rows.iter().filter(|row| row.met() == Some(false)).map(|row| row.what.as_str()).collect();
        match missed.as_slice() {
            [] => println!("\n  all aims are met"),
            missed => println!("\n  missed: {}", missed.join(", ")),
        }
        let folder = cargo::target().join("bench");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let path = folder.join("queue.json");
        let text = format!("{:#}\n", json!({ "bench": "queue", "figures": rows }));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("  written: {}", path.display());
        Ok(())
    }
}

impl Row {
    fn met(&self) -> Option<bool> {
        match self.aim {
            Aim::AtLeast(least) => Some(self.value >= least),
            Aim::AtMost(most) => Some(self.value <= most),
            Aim::None => None,
        }
    }

    fn verdict(&self) -> String {
        let word = if self.met() == Some(true) { "MET" } else { "MISSED" };
        match self.aim {
            Aim::AtLeast(least) => format!("≥ {} {word}", number(least)),
            Aim::AtMost(most) => format!("≤ {} {word}", number(most)),
            Aim::None => "reported".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let aim = match self.aim {
            Aim::AtLeast(least) => json!({ "at_least": least }),
            Aim::AtMost(most) => json!({ "at_most": most }),
            Aim::None => Value::Null,
        };
        json!({ "what": self.what, "value": self.value, "unit": self.unit, "aim": aim, "met": self.met(),
                "beside": self.beside })
    }
}

/// With as many digits as say something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => grouped(value.round()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.2}"),
        size if size >= 0.0001 => format!("{value:.4}"),
        _ => "0".to_owned(),
    }
}

/// 1234567 as 1,234,567.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_met_on_the_right_side_of_its_aim() {
        let row = |value, aim| Row { what: String::new(), value, unit: "", aim, beside: String::new() };
        assert_eq!(row(140.0, Aim::AtMost(140.0)).verdict(), "≤ 140 MET");
        assert_eq!(row(24_999.0, Aim::AtLeast(25_000.0)).verdict(), "≥ 25,000 MISSED");
        assert_eq!((row(1.0, Aim::None).met(), row(1.0, Aim::None).verdict()), (None, "reported".to_owned()));
    }

    #[test]
    fn numbers_are_short() {
        let texts = [1_234_567.2, -12_345.0, 999.4, 12.34, 0.5, 0.000_49, 0.0].map(number);
        assert_eq!(texts, ["1,234,567", "-12,345", "999", "12.3", "0.50", "0.0005", "0"]);
    }
}
