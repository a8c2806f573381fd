-- What a package that takes another one's place needs. For packages from before, the defaults are not known any more.
ALTER TABLE packages ADD COLUMN defaults TEXT NOT NULL DEFAULT '{}';
-- Nothing can be submitted from this time on; NULL: until somebody ends it.
ALTER TABLE packages ADD COLUMN expires_at INTEGER;
-- The package that took its place.
ALTER TABLE packages ADD COLUMN replaced_by INTEGER REFERENCES packages (id);
