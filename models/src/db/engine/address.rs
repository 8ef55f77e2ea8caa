//! Where a database is: `sqlite:PATH` or `postgres://…`.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;

use super::{On, postgres};
use crate::db::{Error, Result};

/// What an address names. What follows `sqlite:` is a path, taken literally.
pub(super) fn parse(url: &str) -> Result<On<&Path, PgConnectOptions>> {
    if let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        return Ok(On::Sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))));
    }
    if is_postgres(url) {
        return postgres::options(url)
            .map(On::Postgres)
            .map_err(|source| refused(url, "the address is not understood", source));
    }
    let what = "sqlite:/path/to/file.db or postgres://user@host/database is wanted";
    Err(refused(url, "the address is not understood", sqlx::Error::Configuration(what.into())))
}

pub(super) fn refused(url: &str, why: &'static str, source: sqlx::Error) -> Error {
    Error::Open { url: shown(url), why, source }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// The address as it may be shown: passwords are starred out.
pub(super) fn shown(url: &str) -> String {
    // A path may have anything in it.
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let (place, query) = url.split_once('?').map_or((url, None), |(a, b)| (a, Some(b)));
    let mut shown = without_password(place);
    if let Some(query) = query {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
            _ => pair.to_owned(),
        });
        shown.push('?');
        shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    shown
}

/// A password may contain what has a meaning in addresses and should have been written as `%..`: all
/// up to the last `@` is taken for a part of it.
fn without_password(place: &str) -> String {
    let parts = place.split_once("://").and_then(|(scheme, rest)| {
        let (who, whence) = rest.rsplit_once('@')?;
        let (user, _) = who.split_once(':')?;
        Some((scheme, user, whence))
    });
    match parts {
        Some((scheme, user, whence)) => format!("{scheme}://{user}:***@{whence}"),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (given, told) in [
            (
                "postgres://ada:s3cret@db.example:5432/tape",
                "postgres://ada:***@db.example:5432/tape",
            ),
            ("postgresql://ada:@db/tape", "postgresql://ada:***@db/tape"),
            ("postgres://ada:a:b/c@d@db/tape", "postgres://ada:***@db/tape"),
            ("postgres://ada@db/tape", "postgres://ada@db/tape"),
            ("postgres://db:5432/tape", "postgres://db:5432/tape"),
            (
                "postgres://db/tape?user=ada&password=s3cret&sslmode=require",
                "postgres://db/tape?user=ada&password=***&sslmode=require",
            ),
            ("postgres:///tape?host=/run/postgresql", "postgres:///tape?host=/run/postgresql"),
            ("mysql://ada:s3cret@db/tape", "mysql://ada:***@db/tape"),
            ("sqlite:/home/a:b@c/room.db", "sqlite:/home/a:b@c/room.db"),
        ] {
            assert_eq!(shown(given), told);
        }
    }

    #[test]
    fn a_misspelt_parameter_is_refused_without_its_value() {
        let error = parse("postgres://ada:a@db/tape?passwort=s3cret&sslmode=require").unwrap_err();
        let Error::Open { url, source, .. } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains("passwort"), "{source}");
        assert!(!format!("{url} {source}").contains("s3cret"), "{url} {source}");
        assert!(parse("postgres://ada:a@db/tape?sslmode=require&options[lock_timeout]=5").is_ok());
    }

    #[test]
    fn what_the_address_says_stands() {
        let options = |url| match parse(url).unwrap() {
            On::Postgres(options) => options.get_options().unwrap_or_default().to_owned(),
            On::Sqlite(_) => unreachable!(),
        };
        assert!(options("postgres://db/tape").contains("lock_timeout=10000"));
        let theirs = options("postgres://db/tape?options[lock_timeout]=5");
        assert_eq!(theirs.matches("lock_timeout").count(), 1, "{theirs}");
        assert!(theirs.contains("lock_timeout=5") && theirs.contains("statement_timeout=60000"));
    }
}
