//! Sealed chunks to the store and the database.
