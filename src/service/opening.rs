//! Opens the database that the settings name: never one that a move has not filled to its end.
//!
//! A move fills a marked database on a server while the file takes all writes, closes the file, has the settings name the
//! server, and takes the mark away last.

use super::audit;
use super::auth::Action;
use super::config::Home;
use super::db::filling::{self, Unfinished};
use super::db::{Database, DatabaseError, Place};

/// Opens the database of an installation.
///
/// # Errors
/// Those of [`Database::open`] and [`is_just_moved`].
pub async fn open(place: &Place, home: &Home) -> Result<Database, DatabaseError> {
    let database = Database::open(place).await?;
    is_just_moved(&database, place, home).await?;
    Ok(database)
}

/// Whether a database that the settings name still has the mark of a move, which was cut off when all else was done.
///
/// # Errors
/// [`DatabaseError::Unfinished`] where the file that it comes from still takes writes: somebody named it by hand.
pub async fn is_just_moved(database: &Database, place: &Place, home: &Home) -> Result<bool, DatabaseError> {
    if !filling::has_mark(database, Unfinished::Move).await? {
        return Ok(false);
    }
    let file = home.database();
    let is_complete = match file.try_exists() {
        // As on another machine. The entry with which a move ends is there just before the file is closed.
        Ok(false) => audit::holds(&mut *database.read().await?, Action::MoveDatabase).await?,
        _ => Database::was_file_moved(&file).await?,
    };
    if is_complete { Ok(true) } else { Err(DatabaseError::Unfinished { place: place.to_string(), file }) }
}
