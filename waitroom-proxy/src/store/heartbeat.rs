//! Heartbeats as they travel between a node and the store: who was heard in a stretch of time. No decisions here.

use std::fmt;

/// One running proxy, as the others know it: drawn at random when it starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// Which part of the line a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// The whole line.
    Line,
    /// Those who are next, in shorter stretches of time: a turn given to nobody is wasted.
    Head,
}

/// Whom one node heard in one stretch of time.
///
/// Covers the numbers from `first` to before `to`: of these, whoever has no bit was not heard.
/// Nothing is said of any other number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first number covered, and the most significant bit of the first byte; a multiple of 8.
    pub first: u64,
    /// The number after the last one covered.
    pub to: u64,
    /// The bits, eight numbers a byte; zeros at the end may be left out.
    pub bytes: Vec<u8>,
}

/// One report on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Who reports.
    pub node: NodeId,
    /// Which part of the line.
    pub lane: Lane,
    /// Which stretch of time, counted from the Unix epoch in units of the lane's period.
    pub bucket: u64,
    /// Whom it heard.
    pub report: Report,
    /// The report is kept for this long.
    pub keep: std::time::Duration,
    /// The node counts as live for this long, unless it reports again.
    pub alive: std::time::Duration,
}

/// Bytes before the bits of an encoded report: `first` and `to`.
const HEAD: usize = 16;

impl Report {
    /// As bytes: `first` and `to`, eight bytes each, most significant first; then the bits.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let end = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let mut bytes = Vec::with_capacity(HEAD + end);
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.to.to_be_bytes());
        bytes.extend_from_slice(&self.bytes[..end]);
        bytes
    }

    /// The report in these bytes, if they are one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk()?;
        let (to, bits) = rest.split_first_chunk()?;
        let first = u64::from_be_bytes(*first);
        first.is_multiple_of(8).then(|| Self { first, to: u64::from_be_bytes(*to), bytes: bits.to_vec() })
    }
}

impl NodeId {
    /// Parses what [`NodeId`] displays.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_journey_without_its_last_zeros() {
        let report = Report { first: 16, to: 900, bytes: vec![0, 7, 0, 0] };
        assert_eq!(Report::decode(&report.encode()), Some(Report { bytes: vec![0, 7], ..report }));
    }

    #[test]
    fn refused_bytes_that_are_no_report() {
        assert_eq!(Report::decode(&[0; 15]), None);
        assert_eq!(Report::decode(&Report { first: 9, to: 20, bytes: vec![1] }.encode()), None);
    }

    #[test]
    fn a_node_is_sixteen_digits() {
        assert_eq!(NodeId::parse(&NodeId(0xabc).to_string()), Some(NodeId(0xabc)));
        assert_eq!(NodeId(0xabc).to_string(), "0000000000000abc");
    }
}
