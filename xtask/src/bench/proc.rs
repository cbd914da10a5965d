//! Processor time, as the kernel tells it in `/proc`; it measures nothing by itself.

use std::fs;

use anyhow::{Context, Result};

/// The kernel's unit in `/proc`, the same on every Linux: a hundredth of a second.
const MICROS_A_TICK: u64 = 10_000;

/// Processor time of one process so far, in microseconds; that of its ended children is not in it.
pub(super) fn process_us(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    sum(&stat, &[13, 14]).with_context(|| format!("/proc/{pid}/stat is not as expected: {stat}"))
}

/// Processor time of all ended children of this process so far, in microseconds.
pub(super) fn children_us() -> Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    sum(&stat, &[15, 16]).with_context(|| format!("/proc/self/stat is not as expected: {stat}"))
}

/// Processor time that every core has spent busy so far, in microseconds.
pub(super) fn cores_us() -> Result<Vec<u64>> {
    let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    Ok(stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).filter_map(busy).collect())
}

/// The sum of fields of a process, numbered from 0 as in `proc(5)` minus one.
fn sum(stat: &str, fields: &[usize]) -> Option<u64> {
    // The name in parentheses may have spaces in it; behind it comes field 2.
    let (_, rest) = stat.rsplit_once(')')?;
    let all: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.iter().map(|field| all.get(field - 2)?.parse::<u64>().ok());
    Some(ticks.sum::<Option<u64>>()? * MICROS_A_TICK)
}

/// Of a core's line: user, nice, system, irq, softirq, steal; idle and iowait are not busy.
fn busy(line: &str) -> Option<u64> {
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    let at = |field: usize| ticks.get(field).copied();
    Some((at(0)? + at(1)? + at(2)? + at(5)? + at(6)? + at(7)?) * MICROS_A_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 11 22 3 4 20 0 1 0 100 1000 10";
        assert_eq!(sum(stat, &[13, 14]), Some(330_000));
        assert_eq!(sum(stat, &[15, 16]), Some(70_000));
        assert_eq!(busy("cpu0 1 2 3 400 50 6 7 8 0 0"), Some(270_000));
    }

    #[test]
    fn this_machine_tells_all_of_them() {
        assert!(process_us(std::process::id()).is_ok() && children_us().is_ok());
        assert!(!cores_us().unwrap().is_empty());
    }
}
