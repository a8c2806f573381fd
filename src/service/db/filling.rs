//! Filling a database with records from elsewhere, in one transaction: all of them or none.
//!
//! Records come in any order. What points from one to another is checked at the end, and what is made of them (counts, the
//! next numbers, the index of searches) is made then. What changed elsewhere since may follow, at the cost of the changes.

use std::collections::BTreeMap;

use super::records::{self, Content, Record, Table};
use super::{Connection, Database, DatabaseError, Engine, Place, Statement, Transaction, on, row_groups, run};

/// Why a database on a server is nobody's yet. It stands beside the audit record until all is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// A database that is being moved there.
    Move,
    /// An installation that is being made.
    Installation,
}

impl Unfinished {
    const fn mark(self) -> &'static str {
        match self {
            Self::Move => "PTC Enroll: being filled by “database move”, nobody’s yet",
            Self::Installation => "PTC Enroll: being filled by “init”, nobody’s yet",
        }
    }
}

/// A transaction that is being filled; it ends without effect where it is dropped.
#[derive(Debug)]
pub struct Filling {
    transaction: Transaction,
    /// What is to be done at the end: what is made of the records, and whatever stands in their way meanwhile.
    afterwards: Vec<String>,
}

/// What is made of the records, with the version of the schema that it came with: the first one that was ever backed up, or a
/// later one. In an older schema, the migration makes it.
const MADE_OF_RECORDS: [(i64, &str); 8] = [
    (9, "DELETE FROM request_counts"),
    (
        9,
        "INSERT INTO request_counts (organisation, kind, state, requests)
         SELECT organisation, kind, state, count(*) FROM requests GROUP BY organisation, kind, state",
    ),
    (11, "DELETE FROM request_totals"),
    (
        11,
        "INSERT INTO request_totals (kind, state, requests)
         SELECT kind, state, sum(requests) FROM request_counts GROUP BY kind, state",
    ),
    // The service writes its index anew behind the requests.
    (9, "DELETE FROM request_parts"),
    (9, "DELETE FROM request_traits"),
    (9, "DELETE FROM request_traits_recent"),
    (9, "UPDATE request_index SET indexed = 0, parts_indexed = 0"),
];

impl Filling {
    /// Prepares a transaction of [`super::Database::write`] for all records there are.
    pub async fn begin(mut transaction: Transaction) -> Result<Self, DatabaseError> {
        let schema = records::schema(&mut transaction).await?;
        let made = MADE_OF_RECORDS.iter().filter(|(since, _)| *since <= schema);
        let mut afterwards: Vec<String> = made.map(|(_, statement)| (*statement).to_owned()).collect();
        match transaction.engine() {
            // A file that is being made checks nothing meanwhile.
            Engine::Sqlite => {}
            Engine::Postgres => {
                without_limits(&mut transaction).await?;
                for table in tables_with_triggers(&mut transaction).await? {
                    run(&mut transaction, &format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await?;
                    afterwards.push(format!("ALTER TABLE {table} ENABLE TRIGGER USER"));
                }
                for Check { table, name, meaning } in checks_between_tables(&mut transaction).await? {
                    run(&mut transaction, &format!("ALTER TABLE {table} DROP CONSTRAINT {name}")).await?;
                    afterwards.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {meaning}"));
                }
            }
        }
        Ok(Self { transaction, afterwards })
    }

    /// Prepares a transaction for the records that changed since the database was filled: what is made of records follows
    /// each of them, and only what points from these to others is checked at the end.
    pub async fn follow(mut transaction: Transaction) -> Result<Self, DatabaseError> {
        let mut afterwards = Vec::new();
        match transaction.engine() {
            Engine::Sqlite => run(&mut transaction, "PRAGMA defer_foreign_keys = ON").await?,
            Engine::Postgres => {
                without_limits(&mut transaction).await?;
                // No table can be altered while something is still to be checked.
                afterwards.push("SET CONSTRAINTS ALL IMMEDIATE".to_owned());
                for Check { table, name, .. } in checks_between_tables(&mut transaction).await? {
                    let alter = format!("ALTER TABLE {table} ALTER CONSTRAINT {name}");
                    run(&mut transaction, &format!("{alter} DEFERRABLE INITIALLY DEFERRED")).await?;
                    afterwards.push(format!("{alter} NOT DEFERRABLE"));
                }
            }
        }
        Ok(Self { transaction, afterwards })
    }

    /// The connection, to read what was written.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.transaction
    }

    /// Adds records, or puts them in place of those with the same keys. The table is one of this database.
    pub async fn write(&mut self, table: &Table, records: &[Record]) -> Result<(), DatabaseError> {
        let connection = &mut *self.transaction;
        let replaced: Vec<String> = (0..table.columns.len())
            .filter(|at| !table.key.contains(at))
            .map(|at| format!(r#""{0}" = excluded."{0}""#, table.columns[at].name))
            .collect();
        let columns = table.columns.len();
        let selected: Vec<String> = (1..)
            .zip(&table.columns)
            .map(|(number, column)| match column.content {
                Content::Flag => format!("column{number} <> 0"),
                _ => format!("column{number}"),
            })
            .collect();
        for records in row_groups(connection.engine(), records) {
            let mut statement = Statement::new(format!(
                r#"INSERT INTO "{}" ({}) SELECT {} FROM ("#,
                table.name,
                table.column_list(),
                selected.join(", "),
            ));
            let fields = records.iter().flat_map(|record| record.0.iter().zip(&table.columns));
            statement.push_rows_of(columns, fields.map(|(field, column)| field.bound(column.content)));
            // Without a condition, SQLite would read what follows as one of a join (sqlite.org/lang_upsert.html §2.1).
            let replaced = replaced.join(", ");
            statement
                .push(format_args!(") AS rows WHERE true ON CONFLICT ({}) DO UPDATE SET {replaced}", table.key_list()));
            on!(connection, statement.query()?.execute(connection).await?.rows_affected());
        }
        Ok(())
    }

    /// Takes records away. The table is one of this database.
    pub async fn remove(&mut self, table: &Table, records: &[&Record]) -> Result<(), DatabaseError> {
        let connection = &mut *self.transaction;
        for record in records {
            let mut statement = Statement::new(format!(r#"DELETE FROM "{}" WHERE "#, table.name));
            table.push_key(&mut statement, "=", record);
            on!(connection, statement.query()?.execute(connection).await?.rows_affected());
        }
        Ok(())
    }

    /// Takes all records of a table away, and its numbers begin anew. The table is one of this database, which is on a
    /// server.
    pub async fn clear(&mut self, table: &Table) -> Result<(), DatabaseError> {
        run(&mut self.transaction, &format!(r#"TRUNCATE "{}" RESTART IDENTITY"#, table.name)).await
    }

    /// Makes what is made of the records, and checks what points from one to another. What it returns is to be committed.
    pub async fn finish(mut self, last_numbers: &BTreeMap<String, i64>) -> Result<Transaction, DatabaseError> {
        for statement in &self.afterwards {
            run(&mut self.transaction, statement).await?;
        }
        for (table, number) in last_numbers {
            go_on_after(&mut self.transaction, table, *number).await?;
        }
        if self.transaction.engine() == Engine::Sqlite {
            check_between_records(&mut self.transaction).await?;
        }
        self.transaction.look_again().await?;
        Ok(self.transaction)
    }
}

/// Refuses a record of a database file that points to one that is not there.
async fn check_between_records(connection: &mut Connection) -> Result<(), DatabaseError> {
    let statement = Statement::new(r#"SELECT "table" FROM pragma_foreign_key_check LIMIT 1"#);
    let found: Option<(String,)> = on!(connection, statement.query_as()?.fetch_optional(connection).await?);
    match found {
        None => Ok(()),
        Some((table,)) => {
            Err(sqlx::Error::Decode(format!("{table}: points to a record that is not there").into()).into())
        }
    }
}

/// Says of a database on a server, from the commit on, that it is being filled and nobody's yet. Of a file it says nothing: a
/// file is filled under another name.
pub async fn mark(connection: &mut Connection, unfinished: Unfinished) -> Result<(), DatabaseError> {
    match connection.engine() {
        Engine::Sqlite => Ok(()),
        Engine::Postgres => run(connection, &format!("COMMENT ON TABLE audit IS '{}'", unfinished.mark())).await,
    }
}

/// Says of a database on a server that it is somebody's now.
pub async fn unmark(database: &Database) -> Result<(), DatabaseError> {
    let mut transaction = database.write().await?;
    run(&mut transaction, "COMMENT ON TABLE audit IS NULL").await?;
    transaction.commit().await
}

/// Whether a database was marked as being filled in this way.
pub async fn is_marked(place: &Place, unfinished: Unfinished) -> Result<bool, DatabaseError> {
    let Place::Server(server) = place else { return Ok(false) };
    let Some(database) = Database::open_as_it_is(server).await? else { return Ok(false) };
    let is_marked = has_mark(&database, unfinished).await?;
    database.close().await;
    Ok(is_marked)
}

/// The same of one that is open.
pub async fn has_mark(database: &Database, unfinished: Unfinished) -> Result<bool, DatabaseError> {
    let connection = &mut *database.read().await?;
    if connection.engine() == Engine::Sqlite {
        return Ok(false);
    }
    let statement = Statement::new("SELECT obj_description(to_regclass('audit'), 'pg_class')");
    let (mark,): (Option<String>,) = on!(connection, statement.query_as()?.fetch_one(connection).await?);
    Ok(mark.as_deref() == Some(unfinished.mark()))
}

/// It takes what it takes, and nobody else uses this database. Whole tables are read at the end.
async fn without_limits(connection: &mut Connection) -> Result<(), DatabaseError> {
    run(connection, "SET LOCAL statement_timeout = 0").await?;
    run(connection, "SET LOCAL enable_seqscan = on").await?;
    run(connection, "SET LOCAL idle_in_transaction_session_timeout = 0").await
}

/// A check between tables, ready for a statement.
#[derive(sqlx::FromRow)]
struct Check {
    table: String,
    name: String,
    meaning: String,
}

async fn checks_between_tables(connection: &mut Connection) -> Result<Vec<Check>, DatabaseError> {
    let statement = Statement::new(
        "SELECT conrelid::regclass::text AS table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS meaning
         FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY conname",
    );
    Ok(on!(connection, statement.query_as()?.fetch_all(connection).await?))
}

async fn tables_with_triggers(connection: &mut Connection) -> Result<Vec<String>, DatabaseError> {
    let statement = Statement::new(
        "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
         WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace",
    );
    let tables: Vec<(String,)> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
    Ok(tables.into_iter().map(|(table,)| table).collect())
}

/// Has a table give out higher numbers than this one.
async fn go_on_after(connection: &mut Connection, table: &str, number: i64) -> Result<(), DatabaseError> {
    match connection.engine() {
        Engine::Sqlite => {
            for text in [
                "INSERT INTO sqlite_sequence (name, seq) SELECT $1, 0
                 WHERE $1 NOT IN (SELECT name FROM sqlite_sequence) AND $2 > 0",
                "UPDATE sqlite_sequence SET seq = max(seq, $2) WHERE name = $1",
            ] {
                on!(connection, sqlx::query(text).bind(table).bind(number).execute(connection).await?.rows_affected());
            }
        }
        Engine::Postgres => {
            // Numbers of requests are given out without a sequence: then there is none, and nothing is set.
            let text = "SELECT setval(pg_get_serial_sequence($1, 'id'), $2)
                        WHERE EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'id')";
            on!(connection, sqlx::query(text).bind(table).bind(number).execute(connection).await?.rows_affected());
        }
    }
    Ok(())
}
