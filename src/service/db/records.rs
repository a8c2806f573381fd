//! All that a database holds as records, table by table: what a backup keeps and what another database takes over.
//!
//! Which tables and columns there are, the database is asked: a new one is carried without anybody thinking of it. What is
//! made of other rows (counts, the index of searches) is left out, and made anew by [`super::filling`].

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, FromRow, Row, TypeInfo as _};

use super::changes::PREFIX;
use super::statement::Value;
use super::{Connection, DatabaseError, Engine, Statement, on};

/// What is made of other tables.
const DERIVED: [&str; 6] =
    ["request_counts", "request_index", "request_parts", "request_totals", "request_traits", "request_traits_recent"];

/// How many records are read at once.
const PAGE: u32 = 256;

/// A table with its columns, both in the order of their names, which is the same in both databases.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The columns that are stored, not those that the database computes.
    pub columns: Vec<Column>,
    /// The primary key: positions in `columns`.
    pub key: Vec<usize>,
}

/// A column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub content: Content,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Whole numbers.
    Number,
    /// Yes or no, which SQLite keeps as 1 and 0; as a field it is a number too.
    Flag,
    /// Texts.
    Text,
    /// Bytes.
    Bytes,
}

/// A row, its fields in the order of the table's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record(pub Vec<Field>);

/// A value, the same in both databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// NULL.
    Nothing,
    /// A number or a flag.
    Number(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// The tables to carry.
pub async fn tables(connection: &mut Connection) -> Result<Vec<Table>, DatabaseError> {
    let statement = match connection.engine() {
        Engine::Sqlite => {
            "SELECT tables.name, columns.name, columns.type, columns.pk
             FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%' AND tables.name <> '_sqlx_migrations'
             ORDER BY tables.name, columns.name"
        }
        // The positions within an index are counted from 0 (postgresql.org/docs/current/catalog-pg-index.html).
        Engine::Postgres => {
            r#"SELECT class.relname::text, attname::text, format_type(atttypid, NULL),
                      coalesce(array_position(indkey::int2[], attnum) + 1, 0)::bigint
               FROM pg_class AS class JOIN pg_attribute ON attrelid = class.oid
                   LEFT JOIN pg_index ON indrelid = class.oid AND indisprimary
               WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
                   AND NOT attisdropped AND attgenerated = '' AND class.relname <> '_sqlx_migrations'
               ORDER BY class.relname, attname"#
        }
    };
    let found: Vec<(String, String, String, i64)> =
        on!(connection, sqlx::query_as(statement).fetch_all(connection).await?);
    let mut tables: BTreeMap<String, (Vec<Column>, BTreeMap<i64, usize>)> = BTreeMap::new();
    for (table, name, stored, position) in found {
        let content = match stored.as_str() {
            "INTEGER" | "bigint" => Content::Number,
            "boolean" => Content::Flag,
            "TEXT" | "text" => Content::Text,
            "BLOB" | "bytea" => Content::Bytes,
            _ => return Err(sqlx::Error::TypeNotFound { type_name: stored }.into()),
        };
        let (columns, key) = tables.entry(table).or_default();
        if position > 0 {
            key.insert(position, columns.len());
        }
        columns.push(Column { name, content });
    }
    let carried = tables.into_iter().filter(|(name, _)| !DERIVED.contains(&name.as_str()) && !name.starts_with(PREFIX));
    Ok(carried.map(|(name, (columns, key))| Table { name, columns, key: key.into_values().collect() }).collect())
}

/// The version of the schema.
pub async fn schema(connection: &mut Connection) -> Result<i64, DatabaseError> {
    let statement = "SELECT max(version) FROM _sqlx_migrations";
    Ok(on!(connection, sqlx::query_scalar(statement).fetch_one(connection).await?))
}

/// How many records a table has.
pub async fn count(connection: &mut Connection, table: &Table) -> Result<u64, DatabaseError> {
    let statement = Statement::new(format!(r#"SELECT count(*) FROM "{}""#, table.name));
    let (count,): (i64,) = on!(connection, statement.query_as()?.fetch_one(connection).await?);
    Ok(count.unsigned_abs())
}

/// The last number that each table has given out, also where its row is gone.
pub async fn last_numbers(connection: &mut Connection) -> Result<BTreeMap<String, i64>, DatabaseError> {
    let statement = match connection.engine() {
        Engine::Sqlite => "SELECT name, seq FROM sqlite_sequence WHERE seq > 0",
        Engine::Postgres => {
            "SELECT owner.relname::text, pg_sequence_last_value(seqrelid)
             FROM pg_sequence JOIN pg_depend ON objid = seqrelid AND deptype = 'i'
                 JOIN pg_class AS owner ON owner.oid = refobjid
             WHERE owner.relnamespace = current_schema()::regnamespace
                 AND pg_sequence_last_value(seqrelid) IS NOT NULL"
        }
    };
    let rows: Vec<(String, i64)> = on!(connection, sqlx::query_as(statement).fetch_all(connection).await?);
    Ok(rows.into_iter().collect())
}

/// The next records of a table after one, in the order of its key; none where there are no more.
pub async fn page(
    connection: &mut Connection,
    table: &Table,
    after: Option<&Record>,
) -> Result<Vec<Record>, DatabaseError> {
    let mut statement = table.select();
    if let Some(record) = after {
        statement.push(" WHERE ");
        table.push_key(&mut statement, ">", record);
    }
    table.push_page(&mut statement);
    Ok(on!(connection, statement.query_as()?.fetch_all(connection).await?))
}

/// The records of a table after one, up to another one or the last, in the order of its key.
pub async fn between(
    connection: &mut Connection,
    table: &Table,
    after: Option<&Record>,
    until: Option<&Record>,
) -> Result<Vec<Record>, DatabaseError> {
    let mut statement = table.select();
    let mut before = " WHERE ";
    for (comparison, record) in [(">", after), ("<=", until)] {
        if let Some(record) = record {
            statement.push(before);
            table.push_key(&mut statement, comparison, record);
            before = " AND ";
        }
    }
    table.push_order(&mut statement);
    Ok(on!(connection, statement.query_as()?.fetch_all(connection).await?))
}

/// The records of a table with these keys, in the order of the key.
pub async fn with_keys(
    connection: &mut Connection,
    table: &Table,
    keys: &[Record],
) -> Result<Vec<Record>, DatabaseError> {
    let mut statement = table.select();
    statement.push(format_args!(" WHERE ({}) IN (VALUES ", table.key_list()));
    let mut before = "(";
    for key in keys {
        for (field, at) in key.0.iter().zip(&table.key) {
            statement.push(before).push_bind(field.bound(table.columns[*at].content));
            before = ", ";
        }
        before = "), (";
    }
    statement.push("))");
    table.push_order(&mut statement);
    Ok(on!(connection, statement.query_as()?.fetch_all(connection).await?))
}

impl Table {
    /// Whether two records have the same key.
    pub fn same_key(&self, one: &Record, other: &Record) -> bool {
        self.key.iter().all(|at| one.0[*at] == other.0[*at])
    }

    /// Whether a table of another database, or of a backup, has the same columns and the same key.
    pub fn is_like(&self, other: &Self) -> bool {
        let names = |table: &Self| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        self.name == other.name && names(self) == names(other) && self.key == other.key
    }

    /// The record that a line of JSON holds, as [`Record`] writes it.
    pub fn read(&self, line: &str) -> Option<Record> {
        let values: Vec<Json> = serde_json::from_str(line).ok()?;
        let fields = self.columns.iter().zip(&values).map(|(column, value)| {
            Some(match (column.content, value) {
                (_, Json::Null) => Field::Nothing,
                (Content::Number | Content::Flag, Json::Number(number)) => Field::Number(number.as_i64()?),
                (Content::Text, Json::String(text)) => Field::Text(text.clone()),
                (Content::Bytes, Json::String(text)) => Field::Bytes(BASE64_STANDARD.decode(text).ok()?),
                _ => return None,
            })
        });
        let record = Record(fields.collect::<Option<_>>()?);
        (values.len() == self.columns.len()).then_some(record)
    }

    /// The names of the columns, ready for a statement.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| format!(r#""{}""#, column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The names of the key's columns, ready for a statement.
    pub(super) fn key_list(&self) -> String {
        self.key.iter().map(|at| format!(r#""{}""#, self.columns[*at].name)).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn select<'a>(&self) -> Statement<'a> {
        Statement::new(format!(r#"SELECT {} FROM "{}""#, self.column_list(), self.name))
    }

    /// Adds the condition that the key compares with that of a record.
    pub(super) fn push_key<'a>(&self, statement: &mut Statement<'a>, comparison: &str, record: &'a Record) {
        statement.push(format_args!("({}) {comparison} ", self.key_list()));
        let mut before = "(";
        for at in &self.key {
            statement.push(before).push_bind(record.0[*at].bound(self.columns[*at].content));
            before = ", ";
        }
        statement.push(")");
    }

    /// Ends a statement that reads the next records.
    pub(super) fn push_page(&self, statement: &mut Statement<'_>) {
        self.push_order(statement);
        statement.push(format_args!(" LIMIT {PAGE}"));
    }

    fn push_order(&self, statement: &mut Statement<'_>) {
        statement.push(" ORDER BY ").push(self.key_list());
    }
}

impl Field {
    /// As a parameter for a column with this content, by which an absent value is absent.
    pub(super) fn bound(&self, content: Content) -> Value<'_> {
        match (self, content) {
            (Self::Number(number), _) => Value::Number(Some(*number)),
            (Self::Text(text), _) => Value::Text(Some(text.into())),
            (Self::Bytes(bytes), _) => Value::Bytes(Some(bytes)),
            (Self::Nothing, Content::Number | Content::Flag) => Value::Number(None),
            (Self::Nothing, Content::Text) => Value::Text(None),
            (Self::Nothing, Content::Bytes) => Value::Bytes(None),
        }
    }
}

/// Bytes as base64: which text is one, the column says.
impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_unit(),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_str(&BASE64_STANDARD.encode(bytes)),
        }
    }
}

macro_rules! records_from {
    ($($row:ty),*) => {$(
        impl FromRow<'_, $row> for Record {
            fn from_row(row: &$row) -> Result<Self, sqlx::Error> {
                let field = |at: usize, stored: &str| {
                    Ok(match stored {
                        "INTEGER" | "INT8" => row.try_get::<Option<i64>, _>(at)?.map(Field::Number),
                        "BOOL" => row.try_get::<Option<bool>, _>(at)?.map(|flag| Field::Number(flag.into())),
                        "TEXT" => row.try_get::<Option<String>, _>(at)?.map(Field::Text),
                        "BLOB" | "BYTEA" => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Field::Bytes),
                        other => return Err(sqlx::Error::TypeNotFound { type_name: other.to_owned() }),
                    }
                    .unwrap_or(Field::Nothing))
                };
                let columns = row.columns().iter();
                columns.map(|column| field(column.ordinal(), column.type_info().name())).collect::<Result<_, _>>().map(Self)
            }
        }
    )*};
}

records_from!(SqliteRow, PgRow);
