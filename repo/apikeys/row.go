package apikeys

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// fromRow gives the key that a row stores.
func fromRow(r db.APIKey, lastUsed *time.Time) (APIKey, error) {
	k := APIKey{
		KeyData: KeyData{
			ID:          r.ID.String(),
			HashedKey:   hex.EncodeToString(r.HashedKey),
			HashScheme:  HashSHA256,
			Name:        r.Name,
			Description: r.Description,
			Permissions: r.Permissions,
			Tags:        r.Tags,
			Icon:        r.Icon,

			TokenLimit:          r.TokenLimit,
			ConcurrencyLimit:    r.ConcurrencyLimit,
			DailyCostLimit:      money(r.DailyCostLimit),
			TotalCostLimit:      money(r.TotalCostLimit),
			WeeklyOpusCostLimit: money(r.WeeklyOpusCostLimit),
			WeeklyResetDay:      int(r.WeeklyResetDay),
			WeeklyResetHour:     int(r.WeeklyResetHour),
			RateLimitWindow:     r.RateLimitWindow,
			RateLimitRequests:   r.RateLimitRequests,
			RateLimitCost:       money(r.RateLimitCost),

			ExpiresAt:      utc(r.ExpiresAt),
			ExpirationMode: r.ExpirationMode,
			ActivationDays: r.ActivationDays,
			ActivationUnit: r.ActivationUnit,

			ClaudeAccountID:        r.ClaudeAccountID,
			ClaudeConsoleAccountID: r.ClaudeConsoleAccountID,
			GeminiAccountID:        r.GeminiAccountID,
			OpenAIAccountID:        r.OpenaiAccountID,
			AzureOpenAIAccountID:   r.AzureOpenaiAccountID,
			BedrockAccountID:       r.BedrockAccountID,
			DroidAccountID:         r.DroidAccountID,
			CCRAccountID:           r.CcrAccountID,

			EnableModelRestriction:               r.EnableModelRestriction,
			RestrictedModels:                     r.RestrictedModels,
			EnableClientRestriction:              r.EnableClientRestriction,
			AllowedClients:                       r.AllowedClients,
			EnableOpenAIResponsesCodexAdaptation: &r.EnableOpenaiResponsesCodexAdaptation,
			EnableOpenAIResponsesPayloadRules:    r.EnableOpenaiResponsesPayloadRules,
			OpenAIResponsesPayloadRules:          document(r.OpenaiResponsesPayloadRules, "[]"),

			CreatedBy:    r.CreatedBy,
			UserID:       r.UserID,
			UserUsername: r.UserUsername,
			Extra:        document(r.Extra, "{}"),
		},
		IsActive:    r.IsActive,
		ActivatedAt: utc(r.ActivatedAt),
		LastUsedAt:  utc(lastUsed),
		CreatedAt:   r.CreatedAt.UTC(),
		UpdatedAt:   r.UpdatedAt.UTC(),
	}
	if r.HashedKey == nil {
		k.HashedKey, k.HashScheme = hex.EncodeToString(r.LegacyHash), HashLegacy
	}
	return k, json.Unmarshal(r.ServiceRates, &k.ServiceRates)
}

// insertParams gives the row of a normalised key.
func (d *KeyData) insertParams(id uuid.UUID, native, legacy []byte, now time.Time) db.APIKeyInsertParams {
	u := d.updateParams(id, true, nil, now)
	return db.APIKeyInsertParams{
		ID: id, HashedKey: native, LegacyHash: legacy, Now: now,
		Name: u.Name, Description: u.Description, Icon: u.Icon, Tags: u.Tags, Permissions: u.Permissions, IsActive: u.IsActive,
		TokenLimit: u.TokenLimit, ConcurrencyLimit: u.ConcurrencyLimit, DailyCostLimit: u.DailyCostLimit,
		TotalCostLimit: u.TotalCostLimit, WeeklyOpusCostLimit: u.WeeklyOpusCostLimit,
		WeeklyResetDay: u.WeeklyResetDay, WeeklyResetHour: u.WeeklyResetHour,
		RateLimitWindow: u.RateLimitWindow, RateLimitRequests: u.RateLimitRequests, RateLimitCost: u.RateLimitCost,
		ExpiresAt: u.ExpiresAt, ExpirationMode: u.ExpirationMode, ActivationDays: u.ActivationDays,
		ActivationUnit: u.ActivationUnit, ActivatedAt: u.ActivatedAt,
		ClaudeAccountID: u.ClaudeAccountID, ClaudeConsoleAccountID: u.ClaudeConsoleAccountID,
		GeminiAccountID: u.GeminiAccountID, OpenaiAccountID: u.OpenaiAccountID, AzureOpenaiAccountID: u.AzureOpenaiAccountID,
		BedrockAccountID: u.BedrockAccountID, DroidAccountID: u.DroidAccountID, CcrAccountID: u.CcrAccountID,
		EnableModelRestriction: u.EnableModelRestriction, RestrictedModels: u.RestrictedModels,
		EnableClientRestriction: u.EnableClientRestriction, AllowedClients: u.AllowedClients, ServiceRates: u.ServiceRates,
		EnableOpenaiResponsesCodexAdaptation: u.EnableOpenaiResponsesCodexAdaptation,
		EnableOpenaiResponsesPayloadRules:    u.EnableOpenaiResponsesPayloadRules,
		OpenaiResponsesPayloadRules:          u.OpenaiResponsesPayloadRules,
		CreatedBy:                            u.CreatedBy, UserID: u.UserID, UserUsername: u.UserUsername, Extra: u.Extra,
	}
}

// updateParams gives the settings of a normalised key's row.
func (d *KeyData) updateParams(id uuid.UUID, active bool, activated *time.Time, now time.Time) db.APIKeyUpdateParams {
	return db.APIKeyUpdateParams{
		ID: id, Now: now,
		Name: d.Name, Description: d.Description, Icon: d.Icon, Tags: list(d.Tags), Permissions: d.Permissions, IsActive: active,
		TokenLimit: d.TokenLimit, ConcurrencyLimit: d.ConcurrencyLimit, DailyCostLimit: numeric(d.DailyCostLimit),
		TotalCostLimit: numeric(d.TotalCostLimit), WeeklyOpusCostLimit: numeric(d.WeeklyOpusCostLimit),
		WeeklyResetDay: int16(d.WeeklyResetDay), WeeklyResetHour: int16(d.WeeklyResetHour), //nolint:gosec // normalise bounds them
		RateLimitWindow: d.RateLimitWindow, RateLimitRequests: d.RateLimitRequests, RateLimitCost: numeric(d.RateLimitCost),
		ExpiresAt: nullable(d.ExpiresAt), ExpirationMode: d.ExpirationMode, ActivationDays: d.ActivationDays,
		ActivationUnit: d.ActivationUnit, ActivatedAt: activated,
		ClaudeAccountID: d.ClaudeAccountID, ClaudeConsoleAccountID: d.ClaudeConsoleAccountID,
		GeminiAccountID: d.GeminiAccountID, OpenaiAccountID: d.OpenAIAccountID, AzureOpenaiAccountID: d.AzureOpenAIAccountID,
		BedrockAccountID: d.BedrockAccountID, DroidAccountID: d.DroidAccountID, CcrAccountID: d.CCRAccountID,
		EnableModelRestriction: d.EnableModelRestriction, RestrictedModels: list(d.RestrictedModels),
		EnableClientRestriction: d.EnableClientRestriction, AllowedClients: list(d.AllowedClients), ServiceRates: rates(d.ServiceRates),
		EnableOpenaiResponsesCodexAdaptation: *d.EnableOpenAIResponsesCodexAdaptation,
		EnableOpenaiResponsesPayloadRules:    d.EnableOpenAIResponsesPayloadRules,
		OpenaiResponsesPayloadRules:          stored(d.OpenAIResponsesPayloadRules, "[]"),
		CreatedBy:                            d.CreatedBy, UserID: d.UserID, UserUsername: d.UserUsername, Extra: stored(d.Extra, "{}"),
	}
}

func money(d dbtype.Decimal) result.Money { return result.NewMoney(d.Decimal) }

func numeric(m result.Money) dbtype.Decimal { return dbtype.Decimal{Decimal: m.Decimal()} }

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func nullable(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// list gives an empty array for nil, which would be NULL.
func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

func document(j dbtype.JSON, empty string) json.RawMessage {
	if string(j) == empty {
		return nil
	}
	return json.RawMessage(j)
}

func stored(doc json.RawMessage, empty string) dbtype.JSON {
	if len(doc) == 0 || string(doc) == "null" {
		return dbtype.JSON(empty)
	}
	return dbtype.JSON(doc)
}

func rates(r map[string]result.Money) dbtype.JSON {
	if len(r) == 0 {
		return dbtype.JSON("{}")
	}
	doc, err := json.Marshal(r)
	if err != nil { // texts and amounts always marshal
		panic(err)
	}
	return doc
}
