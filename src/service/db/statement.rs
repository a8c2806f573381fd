//! Statements whose text depends on what is asked for, or on how many rows there are.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::iter;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::{Query, QueryAs};
use sqlx::{AssertSqlSafe, Database, Encode, FromRow, Sqlite, Type};

use super::columns::row_number;
use super::{DatabaseError, Engine, Moment};
use crate::protocol::request::RequestNumber;

/// A statement that is put together, for either database. Whatever comes from outside is bound, never part of the text.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    /// With `?` for each parameter, and nowhere else.
    text: String,
    values: Vec<Value<'a>>,
}

/// A bound value; what may be absent is absent as the type that its column has.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Number(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<&'a [u8]>),
}

impl<'a> Statement<'a> {
    /// A statement that starts like this.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), values: Vec::new() }
    }

    /// Adds text of our own.
    pub(super) fn push(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string does not fail.
        let _ = write!(self.text, "{text}");
        self
    }

    /// Adds a parameter and its value.
    pub(super) fn push_bind(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('?');
        self
    }

    /// Adds the condition that a text holds another one; both are in lower case. Not by `LIKE`, for whose sake SQLite
    /// prepares a statement anew with each pattern (sqlite.org/c3ref/prepare.html).
    pub(super) fn push_contains(&mut self, engine: Engine, column: &str, part: &'a str) -> &mut Self {
        let position = match engine {
            Engine::Sqlite => "instr",
            Engine::Postgres => "strpos",
        };
        self.push(format_args!("{position}({column}, ")).push_bind(part).push(") > 0")
    }

    /// Adds a query for many requests' numbers, as one parameter whose text does not depend on how many they are.
    pub(super) fn push_numbers(
        &mut self,
        engine: Engine,
        numbers: &[RequestNumber],
    ) -> Result<&mut Self, DatabaseError> {
        let numbers: Vec<i64> = numbers.iter().map(|number| row_number(number.0)).collect();
        self.push_ids(engine, &numbers)
    }

    /// The same for rows' numbers of any kind.
    pub(super) fn push_ids(&mut self, engine: Engine, ids: &impl Serialize) -> Result<&mut Self, DatabaseError> {
        let (before, after) = match engine {
            Engine::Sqlite => ("(SELECT value AS number FROM json_each(", "))"),
            Engine::Postgres => {
                ("(SELECT value::bigint AS number FROM json_array_elements_text(", "::json) AS item (value))")
            }
        };
        Ok(self.push(before).push_bind(json_text(ids)?).push(after))
    }

    /// The same for texts.
    pub(super) fn push_texts(&mut self, engine: Engine, texts: &impl Serialize) -> Result<&mut Self, DatabaseError> {
        let (before, after) = match engine {
            Engine::Sqlite => ("(SELECT value FROM json_each(", "))"),
            Engine::Postgres => ("(SELECT value FROM json_array_elements_text(", "::json) AS item (value))"),
        };
        Ok(self.push(before).push_bind(json_text(texts)?).push(after))
    }

    /// Adds rows of values, at least one: `VALUES (?, ?), (?, ?)`.
    pub(super) fn push_rows<const COLUMNS: usize>(
        &mut self,
        rows: impl IntoIterator<Item = [Value<'a>; COLUMNS]>,
    ) -> &mut Self {
        let mut before = "VALUES (";
        for row in rows {
            for value in row {
                self.push(before).push_bind(value);
                before = ", ";
            }
            before = "), (";
        }
        self.push(")")
    }

    /// The statement, to be run on the database that `on!` leads to.
    pub(super) fn query<'q, DB>(&'q self) -> Query<'q, DB, DB::Arguments>
    where
        DB: Database,
        Option<i64>: Type<DB> + Encode<'q, DB>,
        Option<&'q str>: Type<DB> + Encode<'q, DB>,
        Option<&'q [u8]>: Type<DB> + Encode<'q, DB>,
    {
        self.values.iter().fold(sqlx::query(AssertSqlSafe(self.text_for::<DB>())), |query, value| match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(*bytes),
        })
    }

    /// The same for a statement that answers with rows.
    pub(super) fn query_as<'q, DB, O>(&'q self) -> QueryAs<'q, DB, O, DB::Arguments>
    where
        DB: Database,
        O: for<'r> FromRow<'r, DB::Row>,
        Option<i64>: Type<DB> + Encode<'q, DB>,
        Option<&'q str>: Type<DB> + Encode<'q, DB>,
        Option<&'q [u8]>: Type<DB> + Encode<'q, DB>,
    {
        self.values.iter().fold(sqlx::query_as(AssertSqlSafe(self.text_for::<DB>())), |query, value| match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(*bytes),
        })
    }

    /// The text as a database reads it. SQLite is slow to find many parameters that have names, and `$1` is one
    /// (sqlite.org/c3ref/bind_parameter_name.html); PostgreSQL knows no others.
    fn text_for<DB: Database>(&self) -> String {
        if DB::NAME == Sqlite::NAME {
            return self.text.clone();
        }
        let mut parts = self.text.split('?');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (part, position) in parts.zip(1..) {
            // Writing to a string does not fail.
            let _ = write!(text, "${position}{part}");
        }
        text
    }
}

/// The most rows of one statement. The parameters of the widest stay within what both databases take (32,766).
const ROWS_LIMIT: usize = 256;

/// How many prepared statements a connection keeps: those that [`row_groups`] make, of every size, and all others.
pub(super) const STATEMENTS: usize = 256;

/// Rows in groups of 256, 128, 64 … rows: statements of few different texts, each of which is prepared once.
pub(super) fn row_groups<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    iter::from_fn(move || {
        let length = 1 << rows.len().min(ROWS_LIMIT).checked_ilog2()?;
        let (group, rest) = rows.split_at(length);
        rows = rest;
        Some(group)
    })
}

/// What one parameter carries many values in.
pub(super) fn json_text(values: &impl Serialize) -> Result<String, DatabaseError> {
    Ok(serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(error.into()))?)
}

/// What one value carries out of the database.
pub(super) fn read_array<T: DeserializeOwned>((array,): (String,)) -> Result<T, DatabaseError> {
    Ok(serde_json::from_str(&array).map_err(|error| sqlx::Error::Decode(error.into()))?)
}

macro_rules! values {
    ($($type:ty: $value:ident => $made:expr),* $(,)?) => {$(
        impl<'a> From<$type> for Value<'a> {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

values! {
    i64: number => Self::Number(Some(number)),
    u32: number => Self::Number(Some(number.into())),
    Option<i64>: number => Self::Number(number),
    RequestNumber: number => Self::Number(Some(row_number(number.0))),
    Option<RequestNumber>: number => Self::Number(number.map(|number| row_number(number.0))),
    Moment: moment => Self::Number(Some(moment.0.unix_timestamp())),
    Option<Moment>: moment => Self::Number(moment.map(|moment| moment.0.unix_timestamp())),
    &'a str: text => Self::Text(Some(storable(text.into()))),
    &'a String: text => text.as_str().into(),
    String: text => Self::Text(Some(storable(text.into()))),
    Option<&'a str>: text => Self::Text(text.map(|text| storable(text.into()))),
    &'a [u8]: bytes => Self::Bytes(Some(bytes)),
}

/// NUL stands in no stored text, and PostgreSQL does not take it as a value: what is compared with it equals nothing.
fn storable(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.as_bytes().contains(&0) { text.replace('\0', "\u{fffd}").into() } else { text }
}
