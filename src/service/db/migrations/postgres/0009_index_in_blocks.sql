-- The same as migrations/sqlite/0009, in PostgreSQL's words; what differs is said here.

DROP TABLE requests_search;
CREATE TABLE request_parts (
    id BIGINT PRIMARY KEY,
    lists BYTEA NOT NULL
);
-- They are as short as they get.
ALTER TABLE request_parts ALTER COLUMN lists SET STORAGE EXTERNAL;

CREATE TABLE request_traits_recent (
    trait BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (trait, number)
);

ALTER TABLE request_index ADD COLUMN parts_indexed BIGINT NOT NULL DEFAULT 0;

ALTER TABLE request_counts DROP CONSTRAINT request_counts_pkey;
ALTER TABLE request_counts ADD PRIMARY KEY (kind, state, organisation);
