-- Which requests hold which part of a text, in blocks that are written once: a full-text index wrote each entry again and
-- again. The service writes it anew behind the requests; until then, what is not in it is looked at row by row.

DROP TABLE requests_search;
-- The posting lists of some parts in one block of requests (`db/postings.rs`).
CREATE TABLE request_parts (
    id INTEGER PRIMARY KEY,
    lists BLOB NOT NULL
) STRICT;

-- What requests share, of the last ones: from here it moves on in the order of the large table.
CREATE TABLE request_traits_recent (
    trait INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (trait, number)
) STRICT, WITHOUT ROWID;

-- The last request whose parts are in the index; `indexed` is the last one whose traits are.
ALTER TABLE request_index ADD COLUMN parts_indexed INTEGER NOT NULL DEFAULT 0;

-- All of a kind and state lie together: of all organisations, they are summed without being put in order first.
CREATE TABLE former_counts AS SELECT * FROM request_counts;
DROP TABLE request_counts;
CREATE TABLE request_counts (
    organisation TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (kind, state, organisation)
) STRICT, WITHOUT ROWID;
INSERT INTO request_counts SELECT * FROM former_counts;
DROP TABLE former_counts;
