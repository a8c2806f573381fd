//! Statements whose text depends on what is asked for, or on how many rows there are.

use std::borrow::Cow;
use std::fmt::{Display, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::query::{Query, QueryAs};
use sqlx::{Arguments, AssertSqlSafe, Database, Encode, FromRow, IntoArguments, Postgres, Sqlite, Type};

use super::columns::row_number;
use super::{DatabaseError, Engine, Moment};
use crate::protocol::request::RequestNumber;

/// A statement that is put together, for either database. Whatever comes from outside is bound, never part of the text.
#[derive(Debug)]
pub(super) struct Statement<'a>(Vec<Piece<'a>>);

/// What a statement is put together from.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// Text of our own.
    Text(String),
    /// A parameter.
    Value(Value<'a>),
    /// A query for rows of so many values each.
    Rows(usize, Vec<Value<'a>>),
    /// A query for numbers.
    Numbers(Vec<i64>),
    /// A query for texts.
    Texts(Vec<Cow<'a, str>>),
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
        Self(vec![Piece::Text(text.into())])
    }

    /// Adds text of our own.
    pub(super) fn push(&mut self, text: impl Display) -> &mut Self {
        if let Some(Piece::Text(before)) = self.0.last_mut() {
            // Writing to a string does not fail.
            let _ = write!(before, "{text}");
        } else {
            self.0.push(Piece::Text(text.to_string()));
        }
        self
    }

    /// Adds a parameter and its value.
    pub(super) fn push_bind(&mut self, value: impl Into<Value<'a>>) -> &mut Self {
        self.0.push(Piece::Value(value.into()));
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

    /// Adds how many rows are wanted at most. Not by the parameter alone, which SQLite looks into: it would prepare the
    /// statement anew each time (`sqlite3ExprIsInteger`).
    pub(super) fn push_limit(&mut self, rows: usize) -> &mut Self {
        self.push(" LIMIT ").push_bind(i64::try_from(rows).unwrap_or(i64::MAX)).push(" + 0")
    }

    /// Adds a query for many requests' numbers, as one parameter whose text does not depend on how many they are.
    pub(super) fn push_numbers(&mut self, numbers: &[RequestNumber]) -> &mut Self {
        self.push_ids(numbers.iter().map(|number| row_number(number.0)))
    }

    /// The same for rows' numbers of any kind.
    pub(super) fn push_ids(&mut self, ids: impl IntoIterator<Item = i64>) -> &mut Self {
        self.0.push(Piece::Numbers(ids.into_iter().collect()));
        self
    }

    /// The same for texts.
    pub(super) fn push_texts(&mut self, texts: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.0.push(Piece::Texts(texts.into_iter().map(|text| storable(text.into())).collect()));
        self
    }

    /// Adds a query for rows of values, at least one; its columns are `column1`, `column2`, ….
    pub(super) fn push_rows<const COLUMNS: usize>(
        &mut self,
        rows: impl IntoIterator<Item = [Value<'a>; COLUMNS]>,
    ) -> &mut Self {
        self.push_rows_of(COLUMNS, rows.into_iter().flatten())
    }

    /// The same for rows of so many values, one behind the other.
    pub(super) fn push_rows_of(&mut self, columns: usize, values: impl IntoIterator<Item = Value<'a>>) -> &mut Self {
        self.0.push(Piece::Rows(columns, values.into_iter().collect()));
        self
    }

    /// The statement, to be run on the database that `on!` leads to.
    pub(super) fn query<DB: Dialect>(&self) -> Result<Query<'_, DB, DB::Arguments>, sqlx::Error>
    where
        DB::Arguments: IntoArguments<DB>,
    {
        let (text, arguments) = self.put::<DB>()?;
        Ok(sqlx::query_with(AssertSqlSafe(text), arguments))
    }

    /// The same for a statement that answers with rows.
    pub(super) fn query_as<DB: Dialect, O>(&self) -> Result<QueryAs<'_, DB, O, DB::Arguments>, sqlx::Error>
    where
        DB::Arguments: IntoArguments<DB>,
        O: for<'r> FromRow<'r, DB::Row>,
    {
        let (text, arguments) = self.put::<DB>()?;
        Ok(sqlx::query_as_with(AssertSqlSafe(text), arguments))
    }

    /// The text, and the values of its parameters.
    fn put<DB: Dialect>(&self) -> Result<(String, DB::Arguments), sqlx::Error> {
        let (mut text, mut arguments) = (String::new(), DB::Arguments::default());
        for piece in &self.0 {
            text.push_str(&DB::put(piece, &mut arguments).map_err(sqlx::Error::Encode)?);
        }
        Ok((text, arguments))
    }
}

/// How a database takes a statement.
pub(super) trait Dialect: Database {
    /// The text of a piece, whose values are added to those before.
    fn put<'p>(piece: &'p Piece<'_>, arguments: &mut Self::Arguments) -> Result<Cow<'p, str>, BoxDynError>;
}

/// Parameters without names: SQLite is slow to find many that have one, and `$1` is one
/// (sqlite.org/c3ref/bind_parameter_name.html).
impl Dialect for Sqlite {
    fn put<'p>(piece: &'p Piece<'_>, arguments: &mut Self::Arguments) -> Result<Cow<'p, str>, BoxDynError> {
        const LIST: &str = "(SELECT value AS number FROM json_each(?))";
        Ok(match piece {
            Piece::Text(text) => text.into(),
            Piece::Value(value) => {
                add(arguments, value)?;
                "?".into()
            }
            Piece::Rows(columns, values) => {
                let rows = values.len() / columns;
                let places = places(rows);
                values.iter().try_for_each(|value| add(arguments, value))?;
                let left_empty = (places - rows) * columns;
                (0..left_empty).try_for_each(|_| add(arguments, &Value::Number(None)))?;
                // Not by the parameter alone: see `push_limit`.
                arguments.add(i64::try_from(rows)?)?;
                let row = format!("({})", vec!["?"; *columns].join(", "));
                format!("SELECT * FROM (VALUES {}) LIMIT ? + 0", vec![row; places].join(", ")).into()
            }
            Piece::Numbers(numbers) => {
                arguments.add(serde_json::to_string(numbers)?)?;
                LIST.into()
            }
            Piece::Texts(texts) => {
                arguments.add(serde_json::to_string(texts)?)?;
                LIST.into()
            }
        })
    }
}

/// Rows as one array for each column: the text does not depend on how many they are. A plan takes an array for ten values,
/// whatever is in it; JSON, for a hundred, would have it walk through the index of a small table, and go on so when it has
/// grown.
impl Dialect for Postgres {
    fn put<'p>(piece: &'p Piece<'_>, arguments: &mut Self::Arguments) -> Result<Cow<'p, str>, BoxDynError> {
        Ok(match piece {
            Piece::Text(text) => text.into(),
            Piece::Value(value) => {
                add(arguments, value)?;
                format!("${}", arguments.len()).into()
            }
            Piece::Rows(columns, values) => {
                let (mut arrays, mut names) = (Vec::new(), Vec::new());
                for column in 0..*columns {
                    let of = add_array(arguments, values.iter().skip(column).step_by(*columns))?;
                    arrays.push(format!("${}::{of}[]", arguments.len()));
                    names.push(format!("column{}", column + 1));
                }
                let (arrays, names) = (arrays.join(", "), names.join(", "));
                format!("SELECT * FROM unnest({arrays}) AS rows ({names})").into()
            }
            Piece::Numbers(numbers) => {
                arguments.add(numbers)?;
                format!("(SELECT unnest(${}::bigint[]) AS number)", arguments.len()).into()
            }
            Piece::Texts(texts) => {
                arguments.add(texts)?;
                format!("(SELECT unnest(${}::text[]))", arguments.len()).into()
            }
        })
    }
}

fn add<'q, A: Arguments>(arguments: &mut A, value: &'q Value<'_>) -> Result<(), BoxDynError>
where
    Option<i64>: Type<A::Database> + Encode<'q, A::Database>,
    Option<&'q str>: Type<A::Database> + Encode<'q, A::Database>,
    Option<&'q [u8]>: Type<A::Database> + Encode<'q, A::Database>,
{
    match value {
        Value::Number(number) => arguments.add(*number),
        Value::Text(text) => arguments.add(text.as_deref()),
        Value::Bytes(bytes) => arguments.add(*bytes),
    }
}

/// Adds the values of a column, which are all of one type, as an array; returns the type's name.
fn add_array<'q>(
    arguments: &mut PgArguments,
    values: impl Iterator<Item = &'q Value<'q>>,
) -> Result<&'static str, BoxDynError> {
    let (mut numbers, mut texts, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        match value {
            Value::Number(number) => numbers.push(*number),
            Value::Text(text) => texts.push(text.as_deref()),
            Value::Bytes(content) => bytes.push(*content),
        }
    }
    let (added, name) = if !numbers.is_empty() {
        (arguments.add(numbers), "bigint")
    } else if !texts.is_empty() {
        (arguments.add(texts), "text")
    } else {
        (arguments.add(bytes), "bytea")
    };
    added.map(|()| name)
}

/// The most rows of one statement. The parameters of the widest stay within what SQLite takes (32,766,
/// sqlite.org/limits.html).
const ROWS_LIMIT: usize = 256;

/// How many prepared statements a connection keeps: those with rows, for each number of [`places`], and all others.
pub(super) const STATEMENTS: usize = 384;

/// For how many rows SQLite gets a statement that has so many: 1, 2, 3, 4, 6, 8, 12, 16, 24 …, so that there are few different
/// texts, each of which is prepared once. Nothing stands in the places that are left.
const fn places(rows: usize) -> usize {
    let power = rows.next_power_of_two();
    let three_quarters = power / 4 * 3;
    if rows <= three_quarters { three_quarters } else { power }
}

/// Rows in groups, each for one statement.
pub(super) fn row_groups<T>(engine: Engine, rows: &[T]) -> impl Iterator<Item = &[T]> {
    rows.chunks(match engine {
        Engine::Sqlite => ROWS_LIMIT,
        Engine::Postgres => 4 * ROWS_LIMIT,
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sqlx::{Connection, SqliteConnection};

    use super::{ROWS_LIMIT, Statement};

    #[tokio::test]
    async fn rows_are_as_many_as_were_given_in_statements_of_few_texts() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let mut texts = HashSet::new();
        for rows in 1..=ROWS_LIMIT {
            let given: Vec<i64> = (1..).take(rows).collect();
            let mut statement = Statement::new("SELECT count(*), total(column2) FROM (");
            statement.push_rows(given.iter().map(|number| ["a".into(), (*number).into()])).push(")");
            let (count, sum): (i64, f64) = statement.query_as().unwrap().fetch_one(&mut connection).await.unwrap();
            assert_eq!((count, sum), (rows as i64, given.iter().sum::<i64>() as f64), "{rows} rows");
            texts.insert(statement.put::<sqlx::Sqlite>().unwrap().0);
        }
        assert_eq!(texts.len(), 16);
    }
}
