-- +goose Up
-- Under load, figures of a key read its own records of the pending batches, not all of
-- them: a third of the time, for 30 bytes a record. Writers wait while it is
-- made anew.
DROP INDEX usage_records_batch;
CREATE INDEX usage_records_batch ON usage_records (batch_id, api_key_id);

-- +goose Down
DROP INDEX usage_records_batch;
CREATE INDEX usage_records_batch ON usage_records (batch_id);
