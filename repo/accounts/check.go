package accounts

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxName        = 255
	maxDescription = 4096
	maxMessage     = 4096
	maxPriority    = 100
	midPriority    = 50
	maxJSON        = 64 << 10
)

// Times that an account may hold: what JavaScript and PostgreSQL both do.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// normalise fills in the defaults and refuses what is out of bounds, naming the
// field. What it lets pass, the database's own checks let pass, too.
func (d *AccountData) normalise() error {
	if d.AccountType == "" {
		d.AccountType = accountTypes[0]
	}
	if d.Priority == 0 {
		d.Priority = midPriority
	}
	if d.Schedulable == nil {
		yes := true
		d.Schedulable = &yes
	}
	for _, check := range []func() error{d.checkPlain, d.checkCredentials, d.Details.normalise} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (d *AccountData) checkPlain() error {
	switch {
	case d.Name == "":
		return result.Invalid("name", "required")
	case d.Platform == "":
		return result.Invalid("platform", "required")
	case d.Priority < 1 || d.Priority > maxPriority:
		return result.Invalid("priority", "must lie between 1 and %d", maxPriority)
	}
	if err := result.CheckText("name", d.Name, maxName); err != nil {
		return err
	}
	if err := result.CheckText("description", d.Description, maxDescription); err != nil {
		return err
	}
	if err := oneOf("platform", d.Platform, Platforms); err != nil {
		return err
	}
	return oneOf("accountType", d.AccountType, accountTypes)
}

// checkClaude refuses what the contract requires of a Claude account.
func (d *AccountData) checkClaude() error {
	switch o := d.OAuthData; {
	case d.Platform != "" && d.Platform != Claude:
		return result.Invalid("platform", "must be %s", Claude)
	case o == nil:
		return result.Invalid("oauthData", "required")
	case o.AccessToken == "":
		return result.Invalid("oauthData.accessToken", "required")
	case o.RefreshToken == "":
		return result.Invalid("oauthData.refreshToken", "required")
	case len(o.Scopes) == 0:
		return result.Invalid("oauthData.scopes", "required")
	case o.ExpiresAt.IsZero():
		return result.Invalid("oauthData.expiresAt", "required")
	}
	return nil
}

func checkTime(field string, t time.Time) error {
	if !t.IsZero() && (t.Before(earliest) || t.After(latest)) {
		return result.Invalid(field, "must lie between the years 1970 and 9999")
	}
	return nil
}

func oneOf(field, word string, words []string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return result.Invalid(field, "must be one of %s", strings.Join(words, ", "))
}

func newID(text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.New(), nil
	}
	return result.ParseID("id", text)
}
