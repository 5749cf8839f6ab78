package apikeys

import (
	"slices"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	permissionAll = "all"

	expirationFixed      = "fixed"
	expirationActivation = "activation"
	unitDays             = "days"
	unitHours            = "hours"

	maxName        = 255
	maxText        = 255
	maxDescription = 4096
	maxList        = 100
	maxListText    = 128
	maxIcon        = 256 << 10
	maxJSON        = 64 << 10
	maxActivation  = 36500
	// maxLimit keeps every limit exact as a JavaScript number.
	maxLimit = 1<<53 - 1
)

// Platforms are the words of KeyData.Permissions.
var Platforms = []string{"claude", "gemini", "openai", "droid"}

// Times that a key may expire at: what JavaScript and PostgreSQL both hold.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// normalise fills in the defaults and refuses what is out of bounds, naming the
// field. What it lets pass, the database's own checks let pass, too.
func (d *KeyData) normalise() error {
	d.defaults()
	for _, check := range []func() error{d.checkTexts, d.checkLists, d.checkNumbers, d.checkExpiry, d.checkDocuments} {
		if err := check(); err != nil {
			return err
		}
	}
	return checkPermissions(d.Permissions)
}

func (d *KeyData) defaults() {
	d.Permissions = orDefault(d.Permissions, permissionAll)
	d.ExpirationMode = orDefault(d.ExpirationMode, expirationFixed)
	d.ActivationUnit = orDefault(d.ActivationUnit, unitDays)
	if d.WeeklyResetDay == 0 {
		d.WeeklyResetDay = 1
	}
	if d.EnableOpenAIResponsesCodexAdaptation == nil {
		on := true
		d.EnableOpenAIResponsesCodexAdaptation = &on
	}
	d.ExpiresAt = d.ExpiresAt.Truncate(time.Microsecond)
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func (d *KeyData) checkTexts() error {
	if d.Name == "" {
		return result.Invalid("name", "required")
	}
	for _, t := range []struct {
		field, text string
		limit       int
	}{
		{"name", d.Name, maxName},
		{"description", d.Description, maxDescription},
		{"icon", d.Icon, maxIcon},
		{"createdBy", d.CreatedBy, maxText},
		{"userId", d.UserID, maxText},
		{"userUsername", d.UserUsername, maxText},
		{"claudeAccountId", d.ClaudeAccountID, maxText},
		{"claudeConsoleAccountId", d.ClaudeConsoleAccountID, maxText},
		{"geminiAccountId", d.GeminiAccountID, maxText},
		{"openaiAccountId", d.OpenAIAccountID, maxText},
		{"azureOpenaiAccountId", d.AzureOpenAIAccountID, maxText},
		{"bedrockAccountId", d.BedrockAccountID, maxText},
		{"droidAccountId", d.DroidAccountID, maxText},
		{"ccrAccountId", d.CCRAccountID, maxText},
	} {
		if err := result.CheckText(t.field, t.text, t.limit); err != nil {
			return err
		}
	}
	if len(d.Icon) > maxIcon {
		return result.Invalid("icon", "larger than %d bytes", maxIcon)
	}
	return nil
}

func (d *KeyData) checkLists() error {
	for _, l := range []struct {
		field string
		list  []string
	}{{"tags", d.Tags}, {"restrictedModels", d.RestrictedModels}, {"allowedClients", d.AllowedClients}} {
		if len(l.list) > maxList {
			return result.Invalid(l.field, "more than %d entries", maxList)
		}
		for _, text := range l.list {
			if text == "" {
				return result.Invalid(l.field, "holds an empty text")
			}
			if err := result.CheckText(l.field, text, maxListText); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *KeyData) checkNumbers() error {
	for _, n := range []struct {
		field     string
		value     int64
		low, high int64
	}{
		{"tokenLimit", d.TokenLimit, 0, maxLimit},
		{"concurrencyLimit", d.ConcurrencyLimit, 0, maxLimit},
		{"rateLimitWindow", d.RateLimitWindow, 0, maxLimit},
		{"rateLimitRequests", d.RateLimitRequests, 0, maxLimit},
		{"weeklyResetDay", int64(d.WeeklyResetDay), 1, 7},
		{"weeklyResetHour", int64(d.WeeklyResetHour), 0, 23},
		{"activationDays", d.ActivationDays, 0, maxActivation},
	} {
		if n.value < n.low || n.value > n.high {
			return result.Invalid(n.field, "must lie between %d and %d", n.low, n.high)
		}
	}
	for _, m := range []struct {
		field  string
		amount result.Money
	}{
		{"dailyCostLimit", d.DailyCostLimit},
		{"totalCostLimit", d.TotalCostLimit},
		{"weeklyOpusCostLimit", d.WeeklyOpusCostLimit},
		{"rateLimitCost", d.RateLimitCost},
	} {
		if err := result.CheckAmount(m.field, m.amount); err != nil {
			return err
		}
	}
	return nil
}

func (d *KeyData) checkExpiry() error {
	if d.ExpirationMode != expirationFixed && d.ExpirationMode != expirationActivation {
		return result.Invalid("expirationMode", "must be fixed or activation")
	}
	if d.ActivationUnit != unitDays && d.ActivationUnit != unitHours {
		return result.Invalid("activationUnit", "must be days or hours")
	}
	if !d.ExpiresAt.IsZero() && (d.ExpiresAt.Before(earliest) || d.ExpiresAt.After(latest)) {
		return result.Invalid("expiresAt", "must lie between the years 1970 and 9999")
	}
	return nil
}

func (d *KeyData) checkDocuments() error {
	if len(d.ServiceRates) > maxList {
		return result.Invalid("serviceRates", "more than %d entries", maxList)
	}
	for service, rate := range d.ServiceRates {
		if err := result.CheckText("serviceRates", service, maxListText); err != nil {
			return err
		}
		if err := result.CheckAmount("serviceRates", rate); err != nil {
			return err
		}
	}
	if err := result.CheckDocument("openaiResponsesPayloadRules", d.OpenAIResponsesPayloadRules, maxJSON, "[", "array"); err != nil {
		return err
	}
	return result.CheckDocument("extra", d.Extra, maxJSON, "{", "object")
}

// checkPermissions takes "all" or a set of platforms.
func checkPermissions(permissions string) error {
	if permissions == permissionAll {
		return nil
	}
	words := strings.Split(permissions, ",")
	for i, w := range words {
		if !slices.Contains(Platforms, w) || slices.Contains(words[:i], w) {
			return result.Invalid("permissions", "must be all or a comma-joined set of %s", strings.Join(Platforms, ", "))
		}
	}
	return nil
}
