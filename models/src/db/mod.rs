//! Database.

/// The database.
#[derive(Debug, Clone)]
pub struct Db;
