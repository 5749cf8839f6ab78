-- +goose Up
-- One row: the oldest binary schema version (relaystore's highest embedded
-- migration) that may still open this database. A migration that older
-- binaries cannot live with raises it.
CREATE TABLE schema_compatibility (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    oldest_binary bigint  NOT NULL CHECK (oldest_binary > 0)
);
INSERT INTO schema_compatibility (oldest_binary) VALUES (1);

-- +goose Down
DROP TABLE schema_compatibility;
