package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// Imported is an account as another service has it, its secrets open.
type Imported struct {
	AccountData

	// Status is one of Statuses; "" is Active.
	Status string
	// ErrorMessage has at most 4,096 characters.
	ErrorMessage string
	// RateLimitResetAt is when a limit ends; the zero time is unknown.
	RateLimitResetAt time.Time
	LastUsedAt       time.Time
	CreatedAt        time.Time
	// UpdatedAt is when the other service last changed it.
	UpdatedAt time.Time
}

// ImportOutcome tells what became of an account.
type ImportOutcome struct {
	// Written tells that the account is new or has changed.
	Written bool
	// Newer tells that the stored account was left alone: it has changed since the
	// other service's did, or has been deleted.
	Newer bool
}

// tookThere is the member of an imported account's extra details that tells whether the
// other service's scheduler took it. It goes when somebody pauses or resumes the account.
const tookThere = "legacySchedulable"

// PausedByImport tells that an account is paused because it was imported, was not where
// it came from, and that nobody has paused or resumed it since.
func (a *Account) PausedByImport() bool {
	took, _ := a.Details.took()
	return !a.Schedulable && took
}

// took tells what tookThere says, and whether it is there.
func (d *Details) took() (took, marked bool) {
	var extra map[string]any
	_ = json.Unmarshal(d.Extra, &extra) // without extras it is not there
	mark, marked := extra[tookThere]
	return mark == true, marked
}

func marked(stored dbtype.JSON) bool {
	var d Details
	_ = json.Unmarshal(stored, &d) // the column holds details
	_, is := d.took()
	return is
}

func withoutMark(stored dbtype.JSON) dbtype.JSON {
	var d map[string]json.RawMessage
	var extra map[string]json.RawMessage
	if json.Unmarshal(stored, &d) != nil || json.Unmarshal(d["extra"], &extra) != nil {
		return stored
	}
	delete(extra, tookThere)
	if d["extra"], _ = json.Marshal(extra); len(extra) == 0 { // of documents
		delete(d, "extra")
	}
	stored, _ = json.Marshal(d)
	return stored
}

// Import writes an account as another service has it, with its times, its secrets
// sealed; what is stored and not older stays, and so does what is the same, and the pause
// of somebody here. It may be repeated. Wrong input is InvalidQuery and names the field.
func (r *Repo) Import(ctx context.Context, a Imported) (outcome ImportOutcome, err error) {
	id, err := result.ParseID("id", a.ID)
	if err != nil {
		return outcome, err
	}
	if err := a.normalise(); err != nil {
		return outcome, err
	}
	t := a.texts()
	s, err := r.seal(id, t)
	if err != nil {
		return outcome, err
	}
	row := a.row(id, s)
	err = r.write(ctx, id, func(ctx context.Context, tx db.DBTX) error {
		outcome = ImportOutcome{}
		stored, err := r.queries.AccountImportGet(ctx, tx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return err
		case stored.UpdatedAt.After(row.UpdatedAt) || stored.DeletedAt != nil:
			outcome.Newer = true
			return nil
		}
		row := row
		if err == nil && !stored.Schedulable && !marked(stored.Details) { // paused here on purpose
			row.Details = withoutMark(row.Details)
		}
		if err == nil && r.same(id, stored, row, t) {
			return nil
		}
		outcome.Written = true
		return r.queries.AccountImport(ctx, tx, row)
	})
	return outcome, err
}

// Check tells why Import would refuse the account.
func (a Imported) Check() error { //nolint:gocritic // it is normalised, which the caller's is not to be
	if _, err := result.ParseID("id", a.ID); err != nil {
		return err
	}
	return a.normalise()
}

func (a *Imported) normalise() error {
	if err := a.AccountData.normalise(); err != nil {
		return err
	}
	if a.Status == "" {
		a.Status = Active
	}
	if err := oneOf("status", a.Status, Statuses); err != nil {
		return err
	}
	if err := result.CheckText("errorMessage", a.ErrorMessage, maxMessage); err != nil {
		return err
	}
	for _, t := range []struct {
		field string
		time  time.Time
	}{{"rateLimitResetAt", a.RateLimitResetAt}, {"lastUsedAt", a.LastUsedAt}, {"createdAt", a.CreatedAt}, {"updatedAt", a.UpdatedAt}} {
		if err := checkTime(t.field, t.time); err != nil {
			return err
		}
	}
	if a.CreatedAt.IsZero() || a.UpdatedAt.IsZero() {
		return result.Invalid("createdAt", "required, and updatedAt")
	}
	return nil
}

func (a *Imported) row(id uuid.UUID, s sealed) db.AccountImportParams {
	p := a.AccountData.row(id, s, a.CreatedAt)
	return db.AccountImportParams{
		ID: id, Platform: p.Platform, Name: p.Name, Description: p.Description, AccountType: p.AccountType,
		Priority: p.Priority, Schedulable: p.Schedulable, Status: a.Status, ErrorMessage: a.ErrorMessage,
		RateLimitResetAt: nullable(a.RateLimitResetAt), LastUsedAt: nullable(a.LastUsedAt),
		Scopes: p.Scopes, TokenExpiresAt: p.TokenExpiresAt,
		ProxyType: p.ProxyType, ProxyHost: p.ProxyHost, ProxyPort: p.ProxyPort, ProxyUsername: p.ProxyUsername,
		AccessToken: p.AccessToken, RefreshToken: p.RefreshToken, APIKey: p.APIKey,
		OtherSecrets: p.OtherSecrets, ProxyPassword: p.ProxyPassword, Details: p.Details,
		CreatedAt: a.CreatedAt.UTC().Truncate(time.Microsecond), UpdatedAt: a.UpdatedAt.UTC().Truncate(time.Microsecond),
	}
}

// same tells whether the stored account says what the row does. Sealed columns differ
// each time: their texts are compared. One that does not open is written anew.
func (r *Repo) same(id uuid.UUID, stored db.Account, row db.AccountImportParams, t texts) bool {
	opened, err := r.open(id, &sealed{stored.AccessToken, stored.RefreshToken, stored.APIKey, stored.OtherSecrets, stored.ProxyPassword})
	if err != nil || opened != t {
		return false
	}
	type plain struct {
		Platform, Name, Description, AccountType, Status, ErrorMessage string
		ProxyType, ProxyHost, ProxyUsername                            string
		Priority                                                       int16
		ProxyPort                                                      int32
		Schedulable                                                    bool
		Scopes                                                         []string
		Times                                                          [5]time.Time
		Details                                                        any
	}
	a := plain{
		stored.Platform, stored.Name, stored.Description, stored.AccountType, stored.Status, stored.ErrorMessage,
		stored.ProxyType, stored.ProxyHost, stored.ProxyUsername, stored.Priority, stored.ProxyPort, stored.Schedulable, stored.Scopes,
		[5]time.Time{utc(stored.RateLimitResetAt), utc(stored.LastUsedAt), utc(stored.TokenExpiresAt), stored.CreatedAt.UTC(), stored.UpdatedAt.UTC()},
		value(stored.Details),
	}
	b := plain{
		row.Platform, row.Name, row.Description, row.AccountType, row.Status, row.ErrorMessage,
		row.ProxyType, row.ProxyHost, row.ProxyUsername, row.Priority, row.ProxyPort, row.Schedulable, row.Scopes,
		[5]time.Time{utc(row.RateLimitResetAt), utc(row.LastUsedAt), utc(row.TokenExpiresAt), row.CreatedAt.UTC(), row.UpdatedAt.UTC()},
		value(row.Details),
	}
	return reflect.DeepEqual(a, b)
}

// value is a document without its writing.
func value(doc dbtype.JSON) (v any) {
	_ = json.Unmarshal(doc, &v) // the columns hold objects
	return v
}
