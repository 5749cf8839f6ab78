package dbtype

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
)

// JSON is a JSONB column as text. It goes to the server as a string: as bytes
// it would become a bytea wherever pgx does not prepare statements (behind a
// pooler).
type JSON json.RawMessage

// Value gives the text to pgx; an empty JSON is null.
func (j JSON) Value() (driver.Value, error) {
	if len(j) == 0 {
		return nil, nil
	}
	return string(j), nil
}

// Scan takes the text from pgx.
func (j *JSON) Scan(src any) error {
	switch v := src.(type) {
	case string:
		*j = JSON(v)
	case []byte:
		*j = append(JSON(nil), v...)
	default:
		return fmt.Errorf("cannot scan %T into %T", src, j)
	}
	return nil
}
