//! Statements whose text depends on what is asked for.

use std::fmt::{Display, Write};

use serde::Serialize;
use sqlx::query::{Query, QueryAs};
use sqlx::{AssertSqlSafe, Database, Encode, FromRow, Type};

use super::{DatabaseError, Engine};

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

    /// Adds the condition that a text holds another one; both are in lower case.
    pub(super) fn push_contains(&mut self, column: &str, part: &str) -> &mut Self {
        let pattern = format!("%{}%", part.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_"));
        self.push(column).push(" LIKE ").push_bind(pattern).push(r" ESCAPE '\'")
    }

    /// Adds a query for many numbers, as one parameter whose text does not depend on how many they are.
    pub(super) fn push_numbers(
        &mut self,
        engine: Engine,
        numbers: &impl Serialize,
    ) -> Result<&mut Self, DatabaseError> {
        let (before, after) = match engine {
            Engine::Sqlite => ("(SELECT value FROM json_each(", "))"),
            Engine::Postgres => ("(SELECT value::bigint FROM json_array_elements_text(", "::json) AS item (value))"),
        };
        Ok(self.push(before).push_bind(json_text(numbers)?).push(after))
    }

    /// The statement, to be run on the database that `on!` leads to.
    pub(super) fn query<'q, DB>(&'q self) -> Query<'q, DB, DB::Arguments>
    where
        DB: Database,
        i64: Type<DB> + Encode<'q, DB>,
        &'q str: Type<DB> + Encode<'q, DB>,
    {
        self.values.iter().fold(sqlx::query(AssertSqlSafe(self.text.as_str())), |query, value| match value {
            Value::Number(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_str()),
        })
    }

    /// The same for one that finds rows.
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

/// What one parameter carries many values in.
pub(super) fn json_text(values: &impl Serialize) -> Result<String, DatabaseError> {
    Ok(serde_json::to_string(values).map_err(|error| sqlx::Error::Encode(error.into()))?)
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
