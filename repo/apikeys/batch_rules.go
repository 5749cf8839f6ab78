package apikeys

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

// BatchCreated is what a batch's create of a key gives, under the schema's names.
type BatchCreated struct {
	ID string `json:"id"`
	// APIKey is the plaintext, shown this once, also where it was given.
	APIKey     string    `json:"api_key,omitempty"`
	HashedKey  string    `json:"hashed_key,omitempty"`
	LegacyHash string    `json:"legacy_hash,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
}

// MarshalJSON prints the time as JavaScript does.
func (c BatchCreated) MarshalJSON() ([]byte, error) {
	type plain BatchCreated
	return json.Marshal(struct {
		plain
		CreatedAt result.Time `json:"created_at"`
	}{plain(c), result.Time(c.CreatedAt)})
}

// Batch gives BatchOperation the table api_keys with the rules of this package's
// methods.
func (r *Repo) Batch() batch.Domain {
	now := r.now().UTC().Truncate(time.Microsecond)
	return batch.Domain{
		Table: "api_keys", DataType: strategy.APIKey, Key: "id", Columns: columns, Hidden: "deleted_at", Touched: "updated_at",
		Create: func(data batch.Data) (batch.Row, any, error) { return r.batchCreate(data, now) },
		Update: func(data batch.Data) (batch.Row, error) { return batchUpdate(data, now) },
		Delete: func() batch.Row {
			return batch.Row{"deleted_at": now, "updated_at": now, "is_active": false}
		},
		CacheKeys: []string{"hashed_key", "legacy_hash"}, Forget: r.evict, Name: namedColumn,
		Refused: r.Place.NoBatch(strategy.APIKey),
	}
}

// namedColumn is named for a batch, where a legacy hash is a column of its own.
func namedColumn(err error) error {
	if e := result.From(err); e != nil && e.Constraint == legacyHashIndex {
		return e.With("field", "legacy_hash")
	}
	return named(err)
}

// batchCreate is CreateAPIKey up to the row. Columns that are not given keep the
// database's defaults, which are normalise's.
func (r *Repo) batchCreate(data batch.Data, now time.Time) (batch.Row, any, error) {
	given := make([]string, 0, len(data)+4)
	for name, value := range data {
		if string(value) == "null" {
			delete(data, name)
		} else if name != plaintextColumn {
			given = append(given, name)
		}
	}
	plaintext, native, legacy, err := r.batchHashes(data)
	if err != nil {
		return nil, nil, err
	}
	var k KeyData
	if err := batch.Fill(&k, data); err != nil {
		return nil, nil, err
	}
	id, err := newID(k.ID)
	if err != nil {
		return nil, nil, err
	}
	if err := k.normalise(); err != nil {
		return nil, nil, err
	}
	row := batch.RowOf(k.insertParams(id, native, legacy, now), append(given, "id", "hashed_key", "legacy_hash", "name")...)
	row["created_at"], row["updated_at"] = now, now
	return row, BatchCreated{id.String(), plaintext, hex.EncodeToString(native), hex.EncodeToString(legacy), now}, nil
}

// batchHashes takes what a new key is known by out of its data: a plaintext, one
// of the hashes, or nothing, which makes a plaintext.
func (r *Repo) batchHashes(data batch.Data) (plaintext string, native, legacy []byte, err error) {
	var known struct{ APIKey, HashedKey, LegacyHash string }
	taken := make(batch.Data)
	for _, name := range []string{plaintextColumn, "hashed_key", "legacy_hash"} {
		if value, ok := data[name]; ok {
			taken[name] = value
			delete(data, name)
		}
	}
	if len(taken) == 0 {
		return r.hashes(KeyData{})
	}
	if err := batch.Fill(&known, taken); err != nil {
		return "", nil, nil, err
	}
	_, isNative := taken["hashed_key"]
	_, isLegacy := taken["legacy_hash"]
	switch {
	case len(taken) > 1:
		err = result.Invalid(plaintextColumn, "give one of api_key, hashed_key and legacy_hash, or none")
	case isNative:
		native, err = importedHash("hashed_key", known.HashedKey)
	case isLegacy:
		legacy, err = importedHash("legacy_hash", known.LegacyHash)
	default:
		plaintext = known.APIKey
		native, legacy = r.bothHashes(plaintext)
		err = checkPlaintext(plaintext)
	}
	return plaintext, native, legacy, err
}

func importedHash(column, digits string) ([]byte, error) {
	hash, err := parseHash(digits)
	if err != nil {
		return nil, result.Invalid(column, "not %d hex digits", 2*hashBytes)
	}
	return hash[:], nil
}

// checkPlaintext refuses what ValidatePlaintext would.
func checkPlaintext(plaintext string) error {
	if plaintext == "" || len(plaintext) > maxPlaintext {
		return result.Invalid(plaintextColumn, "must have between 1 and %d bytes", maxPlaintext)
	}
	return result.CheckText(plaintextColumn, plaintext, maxPlaintext)
}

// batchUpdate is UpdateAPIKey up to the row.
func batchUpdate(data batch.Data, now time.Time) (batch.Row, error) {
	var p Patch
	if err := batch.Fill(&p, data); err != nil {
		return nil, err
	}
	k, err := p.alone()
	if err != nil {
		return nil, err
	}
	row := batch.RowOf(k.updateParams(uuid.Nil, k.IsActive, nil, now), slices.Collect(maps.Keys(data))...)
	row["updated_at"] = now
	return row, nil
}
