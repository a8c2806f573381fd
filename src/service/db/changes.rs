//! Which records change in a database file while it is copied: the file itself keeps the log, by triggers, whoever writes.
//!
//! There is a table for the keys of each table, of which every key is in it once, however often its record changes. An
//! interrupted copy leaves them; the next one begins them anew, and what is carried elsewhere they are never part of.

use super::records::{Content, Record, Table};
use super::{Connection, DatabaseError, Statement, on, run};

/// What the names of logs, and of what writes them, start with.
pub(super) const PREFIX: &str = "moving_";

/// The log of one table.
#[derive(Debug)]
pub struct Changes {
    /// A table with the same key and no other columns.
    log: Table,
    /// The last change that was read.
    position: i64,
}

/// Begins logs of these tables of a database file, and forgets all that were there.
pub async fn start(connection: &mut Connection, tables: &[Table]) -> Result<Vec<Changes>, DatabaseError> {
    stop(connection).await?;
    let mut logs = Vec::new();
    for table in tables {
        let log = Table {
            name: format!("{PREFIX}{}", table.name),
            columns: table.key.iter().map(|at| table.columns[*at].clone()).collect(),
            key: (0..table.key.len()).collect(),
        };
        let columns = log.columns.iter().map(|column| {
            let stored = match column.content {
                Content::Number | Content::Flag => "INTEGER",
                Content::Text => "TEXT",
                Content::Bytes => "BLOB",
            };
            format!(r#""{}" {stored} NOT NULL, "#, column.name)
        });
        let (columns, key, name) = (columns.collect::<String>(), log.key_list(), &log.name);
        run(
            connection,
            &format!(r#"CREATE TABLE "{name}" (change INTEGER PRIMARY KEY, {columns}UNIQUE ({key})) STRICT"#),
        )
        .await?;
        for (event, rows) in [("INSERT", &["new"][..]), ("UPDATE", &["old", "new"]), ("DELETE", &["old"])] {
            let body = rows.iter().map(|row| {
                let fields: Vec<_> = log.columns.iter().map(|column| format!(r#"{row}."{}""#, column.name)).collect();
                let fields = fields.join(", ");
                // Numbers only grow, so that what was read before is seen to have changed again.
                format!(
                    r#"UPDATE "{name}" SET change = (SELECT max(change) + 1 FROM "{name}") WHERE ({key}) = ({fields});
                       INSERT INTO "{name}" ({key}) SELECT {fields}
                       WHERE NOT EXISTS (SELECT 1 FROM "{name}" WHERE ({key}) = ({fields}));"#
                )
            });
            let body = body.collect::<String>();
            let of = &table.name;
            run(connection, &format!(r#"CREATE TRIGGER "{name}_{event}" AFTER {event} ON "{of}" BEGIN {body} END"#))
                .await?;
        }
        logs.push(Changes { log, position: 0 });
    }
    Ok(logs)
}

/// Ends all logs of a database file.
pub async fn stop(connection: &mut Connection) -> Result<(), DatabaseError> {
    // Triggers go before the tables that they write to.
    let mut statement = Statement::new("SELECT type, name FROM sqlite_schema WHERE name GLOB ");
    statement.push_bind(format!("{PREFIX}*")).push(" AND type IN ('trigger', 'table') ORDER BY type DESC");
    let found: Vec<(String, String)> = on!(connection, statement.query_as()?.fetch_all(connection).await?);
    for (kind, name) in found {
        run(connection, &format!(r#"DROP {kind} "{name}""#)).await?;
    }
    Ok(())
}

impl Changes {
    /// Up to which change there are some.
    pub async fn last(&self, connection: &mut Connection) -> Result<i64, DatabaseError> {
        let statement = Statement::new(format!(r#"SELECT coalesce(max(change), 0) FROM "{}""#, self.log.name));
        let (last,): (i64,) = on!(connection, statement.query_as()?.fetch_one(connection).await?);
        Ok(last)
    }

    /// The next keys after one, of records that were changed since what was read before.
    pub async fn page(
        &self,
        connection: &mut Connection,
        after: Option<&Record>,
    ) -> Result<Vec<Record>, DatabaseError> {
        let mut statement = self.log.select();
        statement.push(" WHERE change > ").push_bind(self.position);
        if let Some(key) = after {
            statement.push(" AND ");
            self.log.push_key(&mut statement, ">", key);
        }
        self.log.push_page(&mut statement);
        Ok(on!(connection, statement.query_as()?.fetch_all(connection).await?))
    }

    /// What was changed up to here was read.
    pub fn go_on_after(&mut self, position: i64) {
        self.position = position;
    }
}
