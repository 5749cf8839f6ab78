-- +goose Up
-- When an account's status was last set: one that waited in the journal meanwhile is
-- older, and changes nothing. NULL is not known, and older than all.
ALTER TABLE accounts ADD COLUMN status_at timestamptz;

-- Whoever sets the status without it, by hand or by an older binary, sets it now.
-- +goose StatementBegin
CREATE FUNCTION accounts_status_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.status_at := greatest(clock_timestamp(), OLD.status_at + interval '1 microsecond');
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER accounts_status_at BEFORE UPDATE OF status ON accounts FOR EACH ROW
    WHEN (NEW.status_at IS NOT DISTINCT FROM OLD.status_at
        AND (NEW.status, NEW.error_message, NEW.rate_limit_reset_at, NEW.tokens_remaining)
            IS DISTINCT FROM (OLD.status, OLD.error_message, OLD.rate_limit_reset_at, OLD.tokens_remaining))
    EXECUTE FUNCTION accounts_status_at();

-- +goose Down
DROP TRIGGER accounts_status_at ON accounts;
DROP FUNCTION accounts_status_at();
ALTER TABLE accounts DROP COLUMN status_at;
