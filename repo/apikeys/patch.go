package apikeys

import (
	"encoding/json"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Patch is a partial update: an absent member keeps what is stored, null clears
// it (limits, texts and lists become empty, settings take their default), a value
// replaces it. Name and IsActive cannot be cleared. Members are described at
// [KeyData].
type Patch struct {
	Name             result.Opt[string]       `json:"name,omitzero"`
	Description      result.Opt[string]       `json:"description,omitzero"`
	Permissions      result.Opt[string]       `json:"permissions,omitzero"`
	TokenLimit       result.Opt[int64]        `json:"tokenLimit,omitzero"`
	ConcurrencyLimit result.Opt[int64]        `json:"concurrencyLimit,omitzero"`
	DailyCostLimit   result.Opt[result.Money] `json:"dailyCostLimit,omitzero"`
	ExpiresAt        result.Opt[time.Time]    `json:"expiresAt,omitzero"`
	Tags             result.Opt[[]string]     `json:"tags,omitzero"`
	IsActive         result.Opt[bool]         `json:"isActive,omitzero"`

	RateLimitWindow     result.Opt[int64]        `json:"rateLimitWindow,omitzero"`
	RateLimitRequests   result.Opt[int64]        `json:"rateLimitRequests,omitzero"`
	RateLimitCost       result.Opt[result.Money] `json:"rateLimitCost,omitzero"`
	TotalCostLimit      result.Opt[result.Money] `json:"totalCostLimit,omitzero"`
	WeeklyOpusCostLimit result.Opt[result.Money] `json:"weeklyOpusCostLimit,omitzero"`
	WeeklyResetDay      result.Opt[int]          `json:"weeklyResetDay,omitzero"`
	WeeklyResetHour     result.Opt[int]          `json:"weeklyResetHour,omitzero"`

	ExpirationMode result.Opt[string] `json:"expirationMode,omitzero"`
	ActivationDays result.Opt[int64]  `json:"activationDays,omitzero"`
	ActivationUnit result.Opt[string] `json:"activationUnit,omitzero"`

	ClaudeAccountID        result.Opt[string] `json:"claudeAccountId,omitzero"`
	ClaudeConsoleAccountID result.Opt[string] `json:"claudeConsoleAccountId,omitzero"`
	GeminiAccountID        result.Opt[string] `json:"geminiAccountId,omitzero"`
	OpenAIAccountID        result.Opt[string] `json:"openaiAccountId,omitzero"`
	AzureOpenAIAccountID   result.Opt[string] `json:"azureOpenaiAccountId,omitzero"`
	BedrockAccountID       result.Opt[string] `json:"bedrockAccountId,omitzero"`
	DroidAccountID         result.Opt[string] `json:"droidAccountId,omitzero"`
	CCRAccountID           result.Opt[string] `json:"ccrAccountId,omitzero"`

	EnableModelRestriction               result.Opt[bool]                    `json:"enableModelRestriction,omitzero"`
	RestrictedModels                     result.Opt[[]string]                `json:"restrictedModels,omitzero"`
	EnableClientRestriction              result.Opt[bool]                    `json:"enableClientRestriction,omitzero"`
	AllowedClients                       result.Opt[[]string]                `json:"allowedClients,omitzero"`
	ServiceRates                         result.Opt[map[string]result.Money] `json:"serviceRates,omitzero"`
	EnableOpenAIResponsesCodexAdaptation result.Opt[bool]                    `json:"enableOpenAIResponsesCodexAdaptation,omitzero"`
	EnableOpenAIResponsesPayloadRules    result.Opt[bool]                    `json:"enableOpenAIResponsesPayloadRules,omitzero"`
	OpenAIResponsesPayloadRules          result.Opt[json.RawMessage]         `json:"openaiResponsesPayloadRules,omitzero"`

	CreatedBy    result.Opt[string]          `json:"createdBy,omitzero"`
	UserID       result.Opt[string]          `json:"userId,omitzero"`
	UserUsername result.Opt[string]          `json:"userUsername,omitzero"`
	Icon         result.Opt[string]          `json:"icon,omitzero"`
	Extra        result.Opt[json.RawMessage] `json:"extra,omitzero"`
}

// UnmarshalJSON refuses members that cannot be changed or do not exist, by name.
func (p *Patch) UnmarshalJSON(data []byte) error { return result.DecodeStrict(data, p) }

// apply merges the patch into a stored key.
func (p Patch) apply(k *APIKey) error {
	if p.IsActive.IsNull() {
		return result.Invalid("isActive", "cannot be cleared")
	}
	p.Name.Apply(&k.Name, "")
	p.Description.Apply(&k.Description, "")
	p.Permissions.Apply(&k.Permissions, "")
	p.TokenLimit.Apply(&k.TokenLimit, 0)
	p.ConcurrencyLimit.Apply(&k.ConcurrencyLimit, 0)
	p.DailyCostLimit.Apply(&k.DailyCostLimit, result.Money{})
	p.ExpiresAt.Apply(&k.ExpiresAt, time.Time{})
	p.Tags.Apply(&k.Tags, nil)
	p.IsActive.Apply(&k.IsActive, false)
	p.RateLimitWindow.Apply(&k.RateLimitWindow, 0)
	p.RateLimitRequests.Apply(&k.RateLimitRequests, 0)
	p.RateLimitCost.Apply(&k.RateLimitCost, result.Money{})
	p.TotalCostLimit.Apply(&k.TotalCostLimit, result.Money{})
	p.WeeklyOpusCostLimit.Apply(&k.WeeklyOpusCostLimit, result.Money{})
	p.WeeklyResetDay.Apply(&k.WeeklyResetDay, 0)
	p.WeeklyResetHour.Apply(&k.WeeklyResetHour, 0)
	p.ExpirationMode.Apply(&k.ExpirationMode, "")
	p.ActivationDays.Apply(&k.ActivationDays, 0)
	p.ActivationUnit.Apply(&k.ActivationUnit, "")
	p.ClaudeAccountID.Apply(&k.ClaudeAccountID, "")
	p.ClaudeConsoleAccountID.Apply(&k.ClaudeConsoleAccountID, "")
	p.GeminiAccountID.Apply(&k.GeminiAccountID, "")
	p.OpenAIAccountID.Apply(&k.OpenAIAccountID, "")
	p.AzureOpenAIAccountID.Apply(&k.AzureOpenAIAccountID, "")
	p.BedrockAccountID.Apply(&k.BedrockAccountID, "")
	p.DroidAccountID.Apply(&k.DroidAccountID, "")
	p.CCRAccountID.Apply(&k.CCRAccountID, "")
	p.EnableModelRestriction.Apply(&k.EnableModelRestriction, false)
	p.RestrictedModels.Apply(&k.RestrictedModels, nil)
	p.EnableClientRestriction.Apply(&k.EnableClientRestriction, false)
	p.AllowedClients.Apply(&k.AllowedClients, nil)
	p.ServiceRates.Apply(&k.ServiceRates, nil)
	p.EnableOpenAIResponsesCodexAdaptation.Apply(k.EnableOpenAIResponsesCodexAdaptation, true)
	p.EnableOpenAIResponsesPayloadRules.Apply(&k.EnableOpenAIResponsesPayloadRules, false)
	p.OpenAIResponsesPayloadRules.Apply(&k.OpenAIResponsesPayloadRules, nil)
	p.CreatedBy.Apply(&k.CreatedBy, "")
	p.UserID.Apply(&k.UserID, "")
	p.UserUsername.Apply(&k.UserUsername, "")
	p.Icon.Apply(&k.Icon, "")
	p.Extra.Apply(&k.Extra, nil)
	return nil
}

// alone checks the patch without the key. A key's members are checked one by one, so
// those of a stand-in, which it gives as patched, may take the others' place.
func (p Patch) alone() (APIKey, error) {
	k := APIKey{KeyData: KeyData{Name: "stand-in"}}
	k.defaults()
	if err := p.apply(&k); err != nil {
		return APIKey{}, err
	}
	return k, k.normalise()
}

// check refuses what the patch made wrong. Documents that it leaves alone are not
// measured again: as stored they are longer than they were given.
func (p Patch) check(k *APIKey) error {
	extra, rules := k.Extra, k.OpenAIResponsesPayloadRules
	if p.Extra.IsZero() {
		k.Extra = nil
	}
	if p.OpenAIResponsesPayloadRules.IsZero() {
		k.OpenAIResponsesPayloadRules = nil
	}
	err := k.normalise()
	k.Extra, k.OpenAIResponsesPayloadRules = extra, rules
	return err
}
