-- Nothing here: PostgreSQL counts requests in another way from this version on. SQLite goes on row by row, as it has no other
-- triggers (sqlite.org/lang_createtrigger.html), and keeps no versions of a row within a transaction.
SELECT 1;
