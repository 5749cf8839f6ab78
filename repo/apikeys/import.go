package apikeys

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// MaxImport bounds the keys of one call of Import.
const MaxImport = 1000

// Imported is a key as another service has it. KeyData's HashedKey and HashScheme say
// nothing here.
type Imported struct {
	APIKey

	// NativeHash is SHA-256 of the plaintext, LegacyHash that of [LegacyHash]; both are
	// 64 hex digits. One of them may be empty.
	NativeHash, LegacyHash string
	// DeletedAt is when the key was deleted; the zero time is never.
	DeletedAt time.Time
}

// ImportOutcome tells what became of one key.
type ImportOutcome struct {
	// Written tells that the key is new or has changed.
	Written bool
	// Newer tells that the stored key was left alone: it has changed since the other
	// service's did.
	Newer bool
	// Err tells why the key was refused: InvalidQuery or DuplicateKey, naming the
	// field.
	Err error
}

// Import writes keys as another service has them, with their times; what is stored and
// not older stays. It may be repeated. At most MaxImport keys, of which one that is
// refused hurts only itself; the outcomes are in their order.
func (r *Repo) Import(ctx context.Context, keys []Imported) ([]ImportOutcome, error) {
	if len(keys) > MaxImport {
		return nil, result.Invalid("keys", "more than %d", MaxImport)
	}
	outcomes := make([]ImportOutcome, len(keys))
	rows := make([]importRow, 0, len(keys))
	seen := make(map[string]bool, len(keys))
	for i := range keys {
		row, err := keys[i].row()
		if err == nil && seen[keys[i].ID] {
			err = result.Invalid("id", "given twice")
		}
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		row.at, seen[keys[i].ID] = i, true
		rows = append(rows, row)
	}
	err := intake{Repo: r}.importRows(ctx, rows, outcomes)
	return outcomes, err
}

// intake writes rows of another storage.
type intake struct {
	*Repo

	replaces bool // what is stored, and whatever has the same hashes
}

// importRows writes rows in one transaction, or one by one where that meets a
// duplicate.
func (r intake) importRows(ctx context.Context, rows []importRow, outcomes []ImportOutcome) error {
	if len(rows) == 0 {
		return nil
	}
	err := r.importAll(ctx, rows, outcomes)
	switch e := result.From(err); {
	case err == nil:
		return nil
	case e.Code != result.DuplicateKey:
		return err
	case len(rows) == 1:
		outcomes[rows[0].at] = ImportOutcome{Err: err}
		return nil
	}
	half := len(rows) / 2
	if err := r.importRows(ctx, rows[:half], outcomes); err != nil {
		return err
	}
	return r.importRows(ctx, rows[half:], outcomes)
}

func (r intake) importAll(ctx context.Context, rows []importRow, outcomes []ImportOutcome) error {
	docs, err := json.Marshal(rows)
	if err != nil {
		return result.From(err)
	}
	ids, used, times := make([]uuid.UUID, len(rows)), []uuid.UUID{}, []time.Time{}
	for i, row := range rows {
		if ids[i] = row.ID; row.used != nil {
			used, times = append(used, row.ID), append(times, *row.used)
		}
	}
	var written []uuid.UUID
	var stored []db.APIKeyImportedRow
	err = r.write(ctx, func(ctx context.Context, tx db.DBTX) (stale [][]byte, err error) {
		before, err := r.queries.APIKeyImported(ctx, tx, ids) // a hash that changes goes, too
		if err != nil {
			return nil, err
		}
		if r.replaces {
			if err := r.giveWay(ctx, tx, ids, rows); err != nil {
				return nil, err
			}
		}
		if written, err = r.queries.APIKeyImport(ctx, tx, db.APIKeyImportParams{Documents: dbtype.JSON(docs), Replaces: r.replaces}); err != nil {
			return nil, err
		}
		if stored, err = r.queries.APIKeyImported(ctx, tx, ids); err != nil {
			return nil, err
		}
		changed := make(map[uuid.UUID]bool, len(written))
		for _, id := range written {
			changed[id] = true
		}
		for _, s := range append(before, stored...) {
			if changed[s.ID] {
				stale = append(stale, s.HashedKey, s.LegacyHash)
			}
		}
		return stale, r.queries.APIKeyLastUsedUpsert(ctx, tx, db.APIKeyLastUsedUpsertParams{APIKeyIds: used, Times: times})
	})
	if err == nil {
		judge(rows, written, stored, outcomes)
	}
	return err
}

// giveWay makes room for rows that replace what is stored. A deleted one takes no hash
// away.
func (r intake) giveWay(ctx context.Context, tx db.DBTX, ids []uuid.UUID, rows []importRow) error {
	var p db.APIKeyCopyGiveWayParams
	for _, row := range rows {
		for _, hash := range []*string{row.HashedKey, row.LegacyHash} {
			if hash != nil && row.DeletedAt == nil {
				bytes, err := hex.DecodeString((*hash)[2:])
				if err != nil {
					return err
				}
				p.Ids, p.Hashes = append(p.Ids, row.ID), append(p.Hashes, bytes)
			}
		}
	}
	if err := r.queries.APIKeyCopyGiveWay(ctx, tx, p); err != nil {
		return err
	}
	return r.queries.APIKeyCopyForgetUse(ctx, tx, ids)
}

func judge(rows []importRow, written []uuid.UUID, stored []db.APIKeyImportedRow, outcomes []ImportOutcome) {
	at := make(map[uuid.UUID]int, len(rows))
	for i, row := range rows {
		at[row.ID] = i
	}
	for _, id := range written {
		outcomes[rows[at[id]].at].Written = true
	}
	for _, s := range stored {
		row := rows[at[s.ID]]
		outcomes[row.at].Newer = s.UpdatedAt.After(row.UpdatedAt)
	}
}

// importRow is a row of api_keys as jsonb_populate_recordset reads it.
type importRow struct {
	at   int // in Import's keys
	used *time.Time

	ID                                   uuid.UUID       `json:"id"`
	HashedKey                            *string         `json:"hashed_key"`
	LegacyHash                           *string         `json:"legacy_hash"`
	CreatedAt                            time.Time       `json:"created_at"`
	UpdatedAt                            time.Time       `json:"updated_at"`
	DeletedAt                            *time.Time      `json:"deleted_at"`
	Name                                 string          `json:"name"`
	Description                          string          `json:"description"`
	Icon                                 string          `json:"icon"`
	Tags                                 []string        `json:"tags"`
	Permissions                          string          `json:"permissions"`
	IsActive                             bool            `json:"is_active"`
	TokenLimit                           int64           `json:"token_limit"`
	ConcurrencyLimit                     int64           `json:"concurrency_limit"`
	DailyCostLimit                       result.Money    `json:"daily_cost_limit"`
	TotalCostLimit                       result.Money    `json:"total_cost_limit"`
	WeeklyOpusCostLimit                  result.Money    `json:"weekly_opus_cost_limit"`
	WeeklyResetDay                       int             `json:"weekly_reset_day"`
	WeeklyResetHour                      int             `json:"weekly_reset_hour"`
	RateLimitWindow                      int64           `json:"rate_limit_window"`
	RateLimitRequests                    int64           `json:"rate_limit_requests"`
	RateLimitCost                        result.Money    `json:"rate_limit_cost"`
	ExpiresAt                            *time.Time      `json:"expires_at"`
	ExpirationMode                       string          `json:"expiration_mode"`
	ActivationDays                       int64           `json:"activation_days"`
	ActivationUnit                       string          `json:"activation_unit"`
	ActivatedAt                          *time.Time      `json:"activated_at"`
	ClaudeAccountID                      string          `json:"claude_account_id"`
	ClaudeConsoleAccountID               string          `json:"claude_console_account_id"`
	GeminiAccountID                      string          `json:"gemini_account_id"`
	OpenAIAccountID                      string          `json:"openai_account_id"`
	AzureOpenAIAccountID                 string          `json:"azure_openai_account_id"`
	BedrockAccountID                     string          `json:"bedrock_account_id"`
	DroidAccountID                       string          `json:"droid_account_id"`
	CCRAccountID                         string          `json:"ccr_account_id"`
	EnableModelRestriction               bool            `json:"enable_model_restriction"`
	RestrictedModels                     []string        `json:"restricted_models"`
	EnableClientRestriction              bool            `json:"enable_client_restriction"`
	AllowedClients                       []string        `json:"allowed_clients"`
	ServiceRates                         json.RawMessage `json:"service_rates"`
	EnableOpenAIResponsesCodexAdaptation bool            `json:"enable_openai_responses_codex_adaptation"`
	EnableOpenAIResponsesPayloadRules    bool            `json:"enable_openai_responses_payload_rules"`
	OpenAIResponsesPayloadRules          json.RawMessage `json:"openai_responses_payload_rules"`
	CreatedBy                            string          `json:"created_by"`
	UserID                               string          `json:"user_id"`
	UserUsername                         string          `json:"user_username"`
	Extra                                json.RawMessage `json:"extra"`
}

// row checks a key, and gives its row.
func (k *Imported) row() (importRow, error) {
	id, err := result.ParseID("id", k.ID)
	if err != nil {
		return importRow{}, err
	}
	native, legacy, err := k.hashes()
	if err != nil {
		return importRow{}, err
	}
	d := k.KeyData
	if err := d.normalise(); err != nil {
		return importRow{}, err
	}
	for _, t := range []struct {
		field string
		time  time.Time
	}{{"createdAt", k.CreatedAt}, {"updatedAt", k.UpdatedAt}} {
		if t.time.Before(earliest) || t.time.After(latest) {
			return importRow{}, result.Invalid(t.field, "must lie between the years 1970 and 9999")
		}
	}
	return k.unchecked(id, &d, native, legacy), nil
}

// unchecked gives the row of a key, with its settings as d has them.
func (k *Imported) unchecked(id uuid.UUID, d *KeyData, native, legacy *string) importRow {
	return importRow{
		used: nullable(k.LastUsedAt), ID: id, HashedKey: native, LegacyHash: legacy,
		CreatedAt: k.CreatedAt, UpdatedAt: k.UpdatedAt.Truncate(time.Microsecond), DeletedAt: nullable(k.DeletedAt),
		Name: d.Name, Description: d.Description, Icon: d.Icon, Tags: list(d.Tags), Permissions: d.Permissions, IsActive: k.IsActive,
		TokenLimit: d.TokenLimit, ConcurrencyLimit: d.ConcurrencyLimit, DailyCostLimit: d.DailyCostLimit,
		TotalCostLimit: d.TotalCostLimit, WeeklyOpusCostLimit: d.WeeklyOpusCostLimit,
		WeeklyResetDay: d.WeeklyResetDay, WeeklyResetHour: d.WeeklyResetHour,
		RateLimitWindow: d.RateLimitWindow, RateLimitRequests: d.RateLimitRequests, RateLimitCost: d.RateLimitCost,
		ExpiresAt: nullable(d.ExpiresAt), ExpirationMode: d.ExpirationMode, ActivationDays: d.ActivationDays,
		ActivationUnit: d.ActivationUnit, ActivatedAt: nullable(k.ActivatedAt),
		ClaudeAccountID: d.ClaudeAccountID, ClaudeConsoleAccountID: d.ClaudeConsoleAccountID,
		GeminiAccountID: d.GeminiAccountID, OpenAIAccountID: d.OpenAIAccountID, AzureOpenAIAccountID: d.AzureOpenAIAccountID,
		BedrockAccountID: d.BedrockAccountID, DroidAccountID: d.DroidAccountID, CCRAccountID: d.CCRAccountID,
		EnableModelRestriction: d.EnableModelRestriction, RestrictedModels: list(d.RestrictedModels),
		EnableClientRestriction: d.EnableClientRestriction, AllowedClients: list(d.AllowedClients),
		ServiceRates:                         json.RawMessage(rates(d.ServiceRates)),
		EnableOpenAIResponsesCodexAdaptation: *d.EnableOpenAIResponsesCodexAdaptation,
		EnableOpenAIResponsesPayloadRules:    d.EnableOpenAIResponsesPayloadRules,
		OpenAIResponsesPayloadRules:          json.RawMessage(stored(d.OpenAIResponsesPayloadRules, "[]")),
		CreatedBy:                            d.CreatedBy, UserID: d.UserID, UserUsername: d.UserUsername,
		Extra: json.RawMessage(stored(d.Extra, "{}")),
	}
}

// Check tells why Import would refuse the key, as far as the key alone says it.
func (k *Imported) Check() error {
	_, err := k.row()
	return err
}

// hashes gives what bytea reads.
func (k *Imported) hashes() (native, legacy *string, err error) {
	read := func(text string) (*string, error) {
		if text == "" {
			return nil, nil
		}
		hash, err := parseHash(text)
		if err != nil {
			return nil, err
		}
		hexed := `\x` + hex.EncodeToString(hash[:])
		return &hexed, nil
	}
	if k.NativeHash == "" && k.LegacyHash == "" {
		return nil, nil, result.Invalid("hashedKey", "required")
	}
	if native, err = read(k.NativeHash); err == nil {
		legacy, err = read(k.LegacyHash)
	}
	return native, legacy, err
}

// AddNativeHash gives a key that is known by its legacy hash alone the SHA-256 of its
// plaintext: 64 hex digits. One that has it, and one that is not there, stay as they
// are.
func (r *Repo) AddNativeHash(ctx context.Context, keyID, hash string) error {
	id, err := result.ParseID("keyId", keyID)
	if err != nil {
		return err
	}
	native, err := parseHash(hash)
	if err != nil {
		return err
	}
	return r.addNativeHash(ctx, id, native[:])
}
