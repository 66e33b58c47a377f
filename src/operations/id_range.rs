//! The ids that a database gives to new agents.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use super::requested_job::require_owner;
use crate::postgres::{self, query};
use crate::service::Instance;

const DOING: &str = "set the range of ids";

/// From one id to another, both included. As text: `1-999999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange {
    first: i64,
    last: i64,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "a range of ids is two numbers, such as 1000000-1999999, of which the first is at least 1 and the second is greater"
)]
pub(crate) struct InvalidRange;

impl FromStr for IdRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (first, last) = text.split_once('-').ok_or(InvalidRange)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if digits {
                text.parse::<i64>().map_err(|_overflow| InvalidRange)
            } else {
                Err(InvalidRange)
            }
        };
        let (first, last) = (number(first)?, number(last)?);
        if first >= 1 && first < last { Ok(Self { first, last }) } else { Err(InvalidRange) }
    }
}

/// The range as it is now.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct IdRangeReport {
    pub first: i64,
    pub last: i64,
    /// The next agent gets it.
    pub next: i64,
}

/// Gives new agents the ids of a range. Those that were given stay, and none is given again.
pub(crate) async fn set(instance: &Instance, range: IdRange) -> Result<IdRangeReport, Error> {
    let IdRange { first, last } = range;
    let mut client = instance.current().await?;
    require_owner(&client).await?;
    let tx = postgres::begin(&mut client).await.map_err(query("begin a transaction"))?;
    // Changes nothing. Nobody draws an id from here on.
    tx.batch_execute("alter sequence public.agents_id_seq no cycle").await.map_err(query(DOING))?;
    let sql = include_str!("../../sql/operations/id_range.sql");
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
    let rows = tx.query_typed(sql, &asked).await.map_err(query(DOING))?;
    let row = rows.first().ok_or(Error::RangeFull { first, last })?;
    let statement: Option<String> = row.try_get("statement").map_err(query(DOING))?;
    let next = row.try_get("next_id").map_err(query(DOING))?;
    let statement = statement.ok_or(Error::RangeFull { first, last })?;
    tx.batch_execute(&statement).await.map_err(query(DOING))?;
    tx.commit().await.map_err(query(DOING))?;
    Ok(IdRangeReport { first, last, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_two_numbers_in_order() {
        assert_eq!("5-9".parse::<IdRange>().unwrap(), IdRange { first: 5, last: 9 });
        for bad in
            ["", "5", "5-", "-9", "9-5", "5-5", "0-9", "5-x", "+1-5", "1-99999999999999999999"]
        {
            assert!(bad.parse::<IdRange>().is_err(), "{bad}");
        }
    }
}
