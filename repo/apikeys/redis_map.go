package apikeys

import (
	"cmp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// fromLegacy gives the key that a hash of the legacy layout stores. What that lets
// pass and this package would not, is shown as it is.
func fromLegacy(l *legacy.Key) APIKey {
	adapts := l.EnableOpenAIResponsesCodexAdaptation
	k := APIKey{
		KeyData: KeyData{
			ID: l.ID, HashedKey: l.NativeHash, HashScheme: HashSHA256,
			Name: l.Name, Description: l.Description, Icon: l.Icon, Tags: l.Tags,
			Permissions: cmp.Or(strings.Join(l.Permissions, ","), permissionAll),

			TokenLimit: l.TokenLimit, ConcurrencyLimit: l.ConcurrencyLimit,
			RateLimitWindow: l.RateLimitWindow, RateLimitRequests: l.RateLimitRequests, RateLimitCost: result.NewMoney(l.RateLimitCost),
			DailyCostLimit: result.NewMoney(l.DailyCostLimit), TotalCostLimit: result.NewMoney(l.TotalCostLimit),
			WeeklyOpusCostLimit: result.NewMoney(l.WeeklyOpusCostLimit),
			WeeklyResetDay:      within(l.WeeklyResetDay, 1, 7), WeeklyResetHour: within(l.WeeklyResetHour, 0, 23),

			ExpiresAt: l.ExpiresAt, ExpirationMode: l.ExpirationMode, ActivationDays: l.ActivationDays, ActivationUnit: l.ActivationUnit,

			ClaudeAccountID: l.ClaudeAccountID, ClaudeConsoleAccountID: l.ClaudeConsoleAccountID,
			GeminiAccountID: l.GeminiAccountID, OpenAIAccountID: l.OpenAIAccountID, AzureOpenAIAccountID: l.AzureOpenAIAccountID,
			BedrockAccountID: l.BedrockAccountID, DroidAccountID: l.DroidAccountID, CCRAccountID: l.CCRAccountID,

			EnableModelRestriction: l.EnableModelRestriction, RestrictedModels: l.RestrictedModels,
			EnableClientRestriction: l.EnableClientRestriction, AllowedClients: l.AllowedClients,
			EnableOpenAIResponsesCodexAdaptation: &adapts,
			EnableOpenAIResponsesPayloadRules:    l.EnableOpenAIResponsesPayloadRules,
			OpenAIResponsesPayloadRules:          l.OpenAIResponsesPayloadRules,

			CreatedBy: l.CreatedBy, UserID: l.UserID, UserUsername: l.UserUsername,
			Extra: l.ExtraDocument(),
		},
		IsActive: l.IsActive, ActivatedAt: l.Activated(), LastUsedAt: l.LastUsedAt, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt,
	}
	if l.NativeHash == "" {
		k.HashedKey, k.HashScheme = l.LegacyHash, HashLegacy
	}
	if k.UpdatedAt.IsZero() {
		k.UpdatedAt = k.CreatedAt
	}
	if len(l.ServiceRates) > 0 {
		k.ServiceRates = make(map[string]result.Money, len(l.ServiceRates))
	}
	for service, rate := range l.ServiceRates {
		k.ServiceRates[service] = result.NewMoney(rate)
	}
	return k
}

// within gives the lowest value for one out of bounds.
func within(n int64, low, high int) int {
	if n < int64(low) || n > int64(high) {
		return low
	}
	return int(n)
}

// into writes a normalised key's settings over those of a hash, whose identity, times
// and extra fields stay. Times lose what is below the millisecond.
func (d *KeyData) into(l *legacy.Key) {
	l.Name, l.Description, l.Icon, l.Tags = d.Name, d.Description, d.Icon, d.Tags
	if l.Permissions = nil; d.Permissions != permissionAll {
		l.Permissions = strings.Split(d.Permissions, ",")
	}
	l.TokenLimit, l.ConcurrencyLimit = d.TokenLimit, d.ConcurrencyLimit
	l.RateLimitWindow, l.RateLimitRequests, l.RateLimitCost = d.RateLimitWindow, d.RateLimitRequests, d.RateLimitCost.Decimal()
	l.DailyCostLimit, l.TotalCostLimit = d.DailyCostLimit.Decimal(), d.TotalCostLimit.Decimal()
	l.WeeklyOpusCostLimit = d.WeeklyOpusCostLimit.Decimal()
	if within(l.WeeklyResetDay, 1, 7) != d.WeeklyResetDay {
		l.WeeklyResetDay = int64(d.WeeklyResetDay)
	}
	if within(l.WeeklyResetHour, 0, 23) != d.WeeklyResetHour {
		l.WeeklyResetHour = int64(d.WeeklyResetHour)
	}
	l.ExpiresAt = d.ExpiresAt.Truncate(time.Millisecond)
	l.ActivationDays, l.ActivationUnit = d.ActivationDays, d.ActivationUnit
	d.modeInto(l)
	l.ClaudeAccountID, l.ClaudeConsoleAccountID = d.ClaudeAccountID, d.ClaudeConsoleAccountID
	l.GeminiAccountID, l.OpenAIAccountID, l.AzureOpenAIAccountID = d.GeminiAccountID, d.OpenAIAccountID, d.AzureOpenAIAccountID
	l.BedrockAccountID, l.DroidAccountID, l.CCRAccountID = d.BedrockAccountID, d.DroidAccountID, d.CCRAccountID
	l.EnableModelRestriction, l.RestrictedModels = d.EnableModelRestriction, d.RestrictedModels
	l.EnableClientRestriction, l.AllowedClients = d.EnableClientRestriction, d.AllowedClients
	l.EnableOpenAIResponsesCodexAdaptation = *d.EnableOpenAIResponsesCodexAdaptation
	l.EnableOpenAIResponsesPayloadRules = d.EnableOpenAIResponsesPayloadRules
	if l.OpenAIResponsesPayloadRules = d.OpenAIResponsesPayloadRules; string(d.OpenAIResponsesPayloadRules) == "null" {
		l.OpenAIResponsesPayloadRules = nil
	}
	l.CreatedBy, l.UserID, l.UserUsername = d.CreatedBy, d.UserID, d.UserUsername
	l.ServiceRates = make(map[string]decimal.Decimal, len(d.ServiceRates))
	for service, rate := range d.ServiceRates {
		l.ServiceRates[service] = rate.Decimal()
	}
}

// modeInto stamps a key that enters the fixed mode as the service does, and makes one
// that enters activation mode wait, unless it has been activated before.
func (d *KeyData) modeInto(l *legacy.Key) {
	activated := l.Activated()
	l.ExpirationMode = d.ExpirationMode
	if d.ExpirationMode == expirationActivation {
		l.IsActivated, l.ActivatedAt = !activated.IsZero(), activated
		return
	}
	if !l.IsActivated {
		l.IsActivated, l.ActivatedAt = true, l.CreatedAt.Truncate(time.Millisecond)
	}
}

// knownOf gives what validation needs to know of a key.
func knownOf(id uuid.UUID, l *legacy.Key) known {
	return known{
		ID: id, Permissions: cmp.Or(strings.Join(l.Permissions, ","), permissionAll), IsActive: l.IsActive, ExpiresAt: l.ExpiresAt,
		Activates: l.Waits(), ActivationDays: l.ActivationDays, ActivationUnit: l.ActivationUnit,
		Concurrency: l.ConcurrencyLimit, Daily: result.NewMoney(l.DailyCostLimit), Requests: l.RateLimitRequests,
	}
}
