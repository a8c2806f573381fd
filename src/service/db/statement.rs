//! Statements whose text depends on what is asked for.

use std::fmt::{Display, Write};

use sqlx::query::QueryAs;
use sqlx::{AssertSqlSafe, Database, Encode, FromRow, Type};

/// A statement that is put together, for either database. Whatever comes from outside is bound, never part of the text.
#[derive(Debug)]
pub(super) struct Statement {
    text: String,
    values: Vec<Value>,
}

/// A bound value.
#[derive(Debug)]
pub(super) enum Value {
    Number(i64),
    Text(String),
}

impl Statement {
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
    pub(super) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let position = self.values.len();
        self.push(format_args!("${position}"))
    }

    /// The statement, to be run on the database that `on!` leads to.
    pub(super) fn query_as<'q, DB, O>(&'q self) -> QueryAs<'q, DB, O, DB::Arguments>
    where
        DB: Database,
        O: for<'r> FromRow<'r, DB::Row>,
        i64: Type<DB> + Encode<'q, DB>,
        &'q str: Type<DB> + Encode<'q, DB>,
    {
        self.values.iter().fold(sqlx::query_as(AssertSqlSafe(self.text.as_str())), |query, value| match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_str()),
        })
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Value {
    /// NUL stands in no stored text, and PostgreSQL does not take it as a value: what is compared with it equals nothing.
    fn from(text: String) -> Self {
        Self::Text(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text })
    }
}
