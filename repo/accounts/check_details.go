package accounts

import (
	"encoding/json"
	"regexp"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxText = 4096
	// maxCount keeps every number exact as a JavaScript number.
	maxCount = 1<<53 - 1
)

var timeOfDay = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`)

// normalise refuses what is out of bounds.
func (d *Details) normalise() error {
	d.SubscriptionExpiresAt = d.SubscriptionExpiresAt.Truncate(time.Millisecond)
	for _, check := range []func() error{d.checkTexts, d.checkWords, d.checkNumbers, d.checkDocuments} {
		if err := check(); err != nil {
			return err
		}
	}
	return checkTime("details.subscriptionExpiresAt", d.SubscriptionExpiresAt)
}

func (d *Details) checkTexts() error {
	for _, t := range []struct{ field, text string }{
		{"groupId", d.GroupID}, {"userAgent", d.UserAgent}, {"unifiedClientId", d.UnifiedClientID},
		{"apiUrl", d.APIURL}, {"baseApi", d.BaseAPI}, {"baseUrl", d.BaseURL}, {"azureEndpoint", d.AzureEndpoint},
		{"projectId", d.ProjectID}, {"tempProjectId", d.TempProjectID},
		{"accountId", d.AccountID}, {"chatgptUserId", d.ChatGPTUserID}, {"organizationId", d.OrganizationID},
		{"organizationRole", d.OrganizationRole}, {"organizationTitle", d.OrganizationTitle}, {"planType", d.PlanType},
		{"apiVersion", d.APIVersion}, {"deploymentName", d.DeploymentName},
		{"userId", d.UserID}, {"tokenType", d.TokenType}, {"authenticationMethod", d.AuthenticationMethod},
		{"apiKeyStrategy", d.APIKeyStrategy}, {"region", d.Region}, {"defaultModel", d.DefaultModel},
	} {
		if err := result.CheckText("details."+t.field, t.text, maxText); err != nil {
			return err
		}
	}
	return nil
}

func (d *Details) checkWords() error {
	for _, w := range []struct {
		field, word string
		words       []string
	}{
		{"oauthProvider", d.OAuthProvider, []string{"gemini-cli", "antigravity"}},
		{"providerEndpoint", d.ProviderEndpoint, []string{"responses", "auto"}},
		{"endpointType", d.EndpointType, []string{"anthropic", "openai", "comm"}},
		{"credentialType", d.CredentialType, []string{"access_key", "bearer_token"}},
	} {
		if w.word == "" {
			continue
		}
		if err := oneOf("details."+w.field, w.word, w.words); err != nil {
			return err
		}
	}
	if d.QuotaResetTime != "" && !timeOfDay.MatchString(d.QuotaResetTime) {
		return result.Invalid("details.quotaResetTime", "must be HH:mm")
	}
	return nil
}

func (d *Details) checkNumbers() error {
	for _, n := range []struct {
		field string
		value int64
	}{
		{"maxConcurrency", d.MaxConcurrency}, {"maxConcurrentTasks", d.MaxConcurrentTasks},
		{"tempUnavailable503TtlSeconds", d.TempUnavailable503TTLSeconds},
		{"tempUnavailable5xxTtlSeconds", d.TempUnavailable5xxTTLSeconds},
	} {
		if n.value < 0 || n.value > maxCount {
			return result.Invalid("details."+n.field, "must lie between 0 and %d", maxCount)
		}
	}
	return result.CheckAmount("details.dailyQuota", d.DailyQuota)
}

func (d *Details) checkDocuments() error {
	for _, doc := range []struct {
		field        string
		text         *json.RawMessage
		starts, kind string
	}{
		{"supportedModels", &d.SupportedModels, "[{", "array or object"},
		{"subscriptionInfo", &d.SubscriptionInfo, "{", "object"},
		{"extInfo", &d.ExtInfo, "{", "object"},
		{"extra", &d.Extra, "{", "object"},
	} {
		if err := result.CheckDocument("details."+doc.field, *doc.text, maxJSON, doc.starts, doc.kind); err != nil {
			return err
		}
		if string(*doc.text) == "null" {
			*doc.text = nil
		}
	}
	return nil
}
