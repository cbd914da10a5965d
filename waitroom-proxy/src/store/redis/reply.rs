//! From what the scripts answer to the types of the store. Knows the shapes, and no connection.

use redis::Value;

use super::super::{Epoch, StoreError, Vid};

/// The fields of an `OK` answer, read one after the other.
pub(super) struct Reply {
    fields: std::vec::IntoIter<Value>,
}

impl Reply {
    /// Sorts out the answers that are no `OK`.
    pub(super) fn read(value: Value) -> Result<Self, StoreError> {
        let Value::Array(fields) = value else { return Err(strange()) };
        let mut reply = Self { fields: fields.into_iter() };
        match reply.bytes()?.as_slice() {
            b"OK" => Ok(reply),
            b"LOST" => Err(StoreError::Lost),
            b"GEN" => Err(StoreError::Superseded(reply.epoch()?)),
            _ => Err(strange()),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, StoreError> {
        match self.fields.next() {
            Some(Value::Int(number)) => u64::try_from(number).map_err(|_| strange()),
            _ => Err(strange()),
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.number()? == 1)
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.fields.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            Some(Value::SimpleString(text)) => Ok(text.into_bytes()),
            Some(Value::Okay) => Ok(b"OK".to_vec()),
            _ => Err(strange()),
        }
    }

    /// As [`Reply::bytes`], or nothing at the end of the answer.
    pub(super) fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.fields.len() == 0 { Ok(None) } else { self.bytes().map(Some) }
    }

    /// The letter that says what became of a visitor.
    pub(super) fn code(&mut self) -> Result<u8, StoreError> {
        match self.bytes()?.as_slice() {
            [code] => Ok(*code),
            _ => Err(strange()),
        }
    }

    pub(super) fn epoch(&mut self) -> Result<Epoch, StoreError> {
        let generation = self.number()?;
        let life = u32::try_from(self.number()?).map_err(|_| strange())?;
        Ok(Epoch { generation, life })
    }

    /// Reads `count` times.
    pub(super) fn each<T>(
        mut self,
        count: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        (0..count).map(|_| read(&mut self)).collect()
    }
}

/// An answer that no script of ours gives.
pub(super) fn strange() -> StoreError {
    StoreError::Unavailable(
        "Redis gave an answer that no script of this version gives: is something else writing to keys `queue:*`?"
            .to_owned(),
    )
}

/// A visitor as an argument of a script.
pub(super) fn name(vid: Vid) -> String {
    vid.to_string()
}
