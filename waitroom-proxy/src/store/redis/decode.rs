//! The larger answers, field by field in the order their scripts give them.

use std::time::Duration;

use super::super::{BitSpan, Recovered, Recovery, RoomPicture, Seen, Standing, StoreError, Ticked, Verdict};
use super::reply::{Reply, strange};

impl Reply {
    pub(super) fn standing(&mut self) -> Result<Standing, StoreError> {
        let (code, seq) = (self.code()?, self.number()?);
        match code {
            b'W' => Ok(Standing::Waiting(seq)),
            b'P' => Ok(Standing::Granted(seq)),
            b'A' => Ok(Standing::Active(seq)),
            b'U' => Ok(Standing::Void(seq)),
            _ => Err(strange()),
        }
    }

    pub(super) fn verdict(&mut self) -> Result<Verdict, StoreError> {
        let (code, seq) = (self.code()?, self.number()?);
        let (expires_at_ms, began_ms) = (self.number()?, self.number()?);
        match code {
            b'A' => Ok(Verdict::Session { seq, expires_at_ms, began_ms }),
            b'W' => Ok(Verdict::Waiting(seq)),
            b'X' | b'F' => Ok(Verdict::No),
            _ => Err(strange()),
        }
    }

    pub(super) fn ticked(mut self) -> Result<Ticked, StoreError> {
        Ok(Ticked {
            granted_now: self.number()?,
            watermark: self.number()?,
            admitted: self.number()?,
            occupied: self.number()?,
            waiting: self.number()?,
            head: Some(self.number()?).filter(|head| *head > 0),
            rolled_back: self.flag()?,
            hold: self.duration()?,
            seq: self.number()?,
            base: self.number()?,
            floor: self.number()?,
            pause: self.number()?,
            now_ms: self.number()?,
        })
    }

    pub(super) fn picture(mut self) -> Result<RoomPicture, StoreError> {
        let mut picture = RoomPicture {
            epoch: self.epoch()?,
            seq: self.number()?,
            base: self.number()?,
            floor: self.number()?,
            admitted: self.number()?,
            watermark: self.number()?,
            hold: self.duration()?,
            pause: self.number()?,
            cold: self.flag()?,
            waiting: self.number()?,
            granted: self.number()?,
            active: self.number()?,
            now_ms: self.number()?,
            waiting_bits: BitSpan { first: self.number()?, bytes: self.bytes()? },
            ended_bits: BitSpan::default(),
            spent_bits: BitSpan::default(),
        };
        picture.ended_bits = BitSpan { first: picture.base, bytes: self.bytes()? };
        picture.spent_bits = BitSpan { first: picture.base, bytes: self.bytes()? };
        for span in [&mut picture.waiting_bits, &mut picture.ended_bits, &mut picture.spent_bits] {
            span.trim_zeros();
        }
        Ok(picture)
    }

    pub(super) fn recovered(mut self) -> Result<Recovered, StoreError> {
        let how = match self.bytes()?.as_slice() {
            b"FRESH" => Recovery::Fresh,
            b"RESTORED" => Recovery::Restored,
            b"MERGED" => Recovery::Merged,
            _ => return Err(strange()),
        };
        let epoch = self.epoch()?;
        let (seq, base, floor) = (self.number()?, self.number()?, self.number()?);
        let (admitted, watermark, hold, pause) = (self.number()?, self.number()?, self.duration()?, self.number()?);
        let seen = Seen { seq, admitted, watermark, base, floor, pause };
        Ok(Recovered { how, epoch, seen, hold, cold: self.flag()? })
    }

    fn duration(&mut self) -> Result<Duration, StoreError> {
        self.number().map(Duration::from_millis)
    }
}
