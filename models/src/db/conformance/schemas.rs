//! Both engines' schemas, as their own catalogues describe them, are the same.

use std::collections::BTreeSet;

use super::*;
use crate::db::engine::On;

/// What a schema is made of, one line a thing.
type Parts = BTreeSet<String>;

#[tokio::test]
async fn both_engines_have_the_same_schema() {
    let (file, database) = (sqlite_file().await, postgres_database().await);
    let (here, there) = (sqlite(&file.open().await).await, postgres(&database.open().await).await);
    let only_here: Vec<_> = here.difference(&there).collect();
    let only_there: Vec<_> = there.difference(&here).collect();
    assert!(
        only_here.is_empty() && only_there.is_empty(),
        "only SQLite has {only_here:#?}, only PostgreSQL has {only_there:#?}"
    );
    for known in [
        "recordings.2 room_id identifier, not null",
        "segments.7 confidence real, not null",
        "transcripts.5 promoted truth, not null, has a default",
        "key of turns: recording_id, label, start_ticks, end_ticks",
        "unique in transcripts: recording_id, version",
        "recordings refers by room_id to rooms (id), on delete no action",
        "turns refers by recording_id, label to speakers (recording_id, label), on delete cascade",
        "unique index jobs_one_open_a_kind on jobs: recording_id, kind, weights_sha256, partial",
        "unique index jobs_one_running_a_kind on jobs: recording_id, kind, partial",
    ] {
        assert!(here.contains(known), "{known:?} is missing in {here:#?}");
    }
}

#[test]
fn migrations_have_the_same_numbers_and_names() {
    let names = |engine: &str| {
        let folder = format!("{}/../migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

/// The rows of a query on a catalogue, each as one line.
async fn lines(db: &Db, sql: &'static str) -> Parts {
    let rows: Vec<(String,)> = match &db.pools {
        On::Sqlite(pools) => sqlx::query_as(sql).fetch_all(&pools.read).await.unwrap(),
        On::Postgres(pool) => sqlx::query_as(sql).fetch_all(pool).await.unwrap(),
    };
    assert!(!rows.is_empty(), "the catalogue tells nothing");
    rows.into_iter().map(|(line,)| line).collect()
}

async fn sqlite(db: &Db) -> Parts {
    let columns = "SELECT t.name || '.' || (c.cid + 1) || ' ' || c.name || ' ' ||
               CASE c.type WHEN 'BLOB' THEN
                        CASE WHEN c.name = 'sha256' THEN 'bytes' ELSE 'identifier' END
                    WHEN 'INTEGER' THEN
                        CASE WHEN t.sql LIKE '%CHECK (' || c.name || ' IN (0, 1)%'
                             THEN 'truth' ELSE 'number' END
                    ELSE lower(c.type) END ||
               CASE WHEN c.\"notnull\" THEN ', not null' ELSE '' END ||
               CASE WHEN c.dflt_value IS NULL THEN '' ELSE ', has a default' END
        FROM sqlite_schema t, pragma_table_xinfo(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'";
    let keys = "SELECT 'key of ' || name || ': ' || group_concat(column, ', ')
        FROM (SELECT t.name, c.name AS column FROM sqlite_schema t, pragma_table_info(t.name) c
              WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND c.pk > 0
              ORDER BY t.name, c.pk)
        GROUP BY name";
    let uniques = "SELECT 'unique in ' || name || ': ' || group_concat(column, ', ')
        FROM (SELECT t.name, i.name AS key, c.name AS column
              FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
              WHERE t.type = 'table' AND i.origin = 'u' ORDER BY t.name, i.name, c.seqno)
        GROUP BY name, key";
    let references =
        "SELECT name || ' refers by ' || group_concat(source, ', ') || ' to ' || target
               || ' (' || group_concat(wanted, ', ') || '), on delete ' || rule
        FROM (SELECT t.name, f.id, f.\"from\" AS source, f.\"table\" AS target, f.\"to\" AS wanted,
                     lower(f.on_delete) AS rule
              FROM sqlite_schema t, pragma_foreign_key_list(t.name) f
              WHERE t.type = 'table' ORDER BY t.name, f.id, f.seq)
        GROUP BY name, id, target, rule";
    let indexes = "SELECT CASE WHEN uniq THEN 'unique ' ELSE '' END || 'index ' || key || ' on ' || name
               || ': ' || group_concat(column, ', ') || CASE WHEN partial THEN ', partial' ELSE '' END
        FROM (SELECT t.name, i.name AS key, i.\"unique\" AS uniq, i.partial,
                     c.name || CASE WHEN c.\"desc\" THEN ' desc' ELSE '' END AS column
              FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_xinfo(i.name) c
              WHERE t.type = 'table' AND i.origin = 'c' AND c.key ORDER BY t.name, i.name, c.seqno)
        GROUP BY name, key, uniq, partial";
    union(db, [columns, keys, uniques, references, indexes]).await
}

async fn postgres(db: &Db) -> Parts {
    let columns = "SELECT table_name || '.' || ordinal_position || ' ' || column_name || ' ' ||
               CASE data_type WHEN 'uuid' THEN 'identifier' WHEN 'bytea' THEN 'bytes'
                    WHEN 'bigint' THEN 'number' WHEN 'boolean' THEN 'truth'
                    WHEN 'double precision' THEN 'real' ELSE data_type END ||
               CASE is_nullable WHEN 'NO' THEN ', not null' ELSE '' END ||
               CASE WHEN column_default IS NULL AND is_generated = 'NEVER' THEN ''
                    ELSE ', has a default' END
        FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'";
    // The names of a constraint's columns in the order in which it has them.
    let constraints = "SELECT CASE contype WHEN 'p' THEN 'key of ' || conrelid::regclass || ': '
                            WHEN 'u' THEN 'unique in ' || conrelid::regclass || ': '
                            ELSE conrelid::regclass || ' refers by ' END
               || (SELECT string_agg(attname, ', ' ORDER BY place)
                   FROM unnest(conkey) WITH ORDINALITY AS k (number, place)
                   JOIN pg_attribute ON attrelid = conrelid AND attnum = number)
               || CASE WHEN contype <> 'f' THEN '' ELSE ' to ' || confrelid::regclass || ' ('
                   || (SELECT string_agg(attname, ', ' ORDER BY place)
                       FROM unnest(confkey) WITH ORDINALITY AS k (number, place)
                       JOIN pg_attribute ON attrelid = confrelid AND attnum = number)
                   || '), on delete '
                   || CASE confdeltype WHEN 'c' THEN 'cascade' WHEN 'a' THEN 'no action'
                           WHEN 'n' THEN 'set null' ELSE confdeltype::text END END
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f')
          AND conrelid::regclass::text NOT LIKE '\\_sqlx%'";
    let indexes = "SELECT CASE WHEN indisunique THEN 'unique ' ELSE '' END || 'index '
               || indexrelid::regclass || ' on ' || indrelid::regclass || ': '
               || (SELECT string_agg(pg_get_indexdef(indexrelid, place, true)
                                     || CASE WHEN indoption[place - 1] & 1 = 1 THEN ' desc'
                                             ELSE '' END, ', ' ORDER BY place)
                   FROM generate_series(1, indnkeyatts) AS place)
               || CASE WHEN indpred IS NULL THEN '' ELSE ', partial' END
        FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)";
    union(db, [columns, constraints, indexes]).await
}

async fn union<const N: usize>(db: &Db, queries: [&'static str; N]) -> Parts {
    let mut parts = Parts::new();
    for sql in queries {
        parts.extend(lines(db, sql).await);
    }
    parts
}
