package accounts

import (
	"encoding/json"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Details are a platform's own settings, under the legacy service's names
// (claude-relay-service v1.1.314) with native types. Texts have at most 4,096
// characters. All are optional.
type Details struct {
	SubscriptionExpiresAt time.Time `json:"subscriptionExpiresAt,omitzero"`
	DisableAutoProtection bool      `json:"disableAutoProtection,omitempty"`
	// GroupID is Azure's and OpenAI's.
	GroupID string `json:"groupId,omitempty"`
	// SupportedModels is a JSON array of models, or an object from asked to real
	// names; none is all.
	SupportedModels json.RawMessage `json:"supportedModels,omitempty"`
	InterceptWarmup bool            `json:"interceptWarmup,omitempty"`
	UserAgent       string          `json:"userAgent,omitempty"`

	// Claude. SubscriptionInfo and ExtInfo are JSON objects.
	SubscriptionInfo             json.RawMessage `json:"subscriptionInfo,omitempty"`
	ExtInfo                      json.RawMessage `json:"extInfo,omitempty"`
	AutoStopOnWarning            bool            `json:"autoStopOnWarning,omitempty"`
	UseUnifiedUserAgent          bool            `json:"useUnifiedUserAgent,omitempty"`
	UseUnifiedClientID           bool            `json:"useUnifiedClientId,omitempty"`
	UnifiedClientID              string          `json:"unifiedClientId,omitempty"`
	MaxConcurrency               int64           `json:"maxConcurrency,omitempty"`
	DisableTempUnavailable       bool            `json:"disableTempUnavailable,omitempty"`
	TempUnavailable503TTLSeconds int64           `json:"tempUnavailable503TtlSeconds,omitempty"`
	TempUnavailable5xxTTLSeconds int64           `json:"tempUnavailable5xxTtlSeconds,omitempty"`

	// Claude Console, CCR and OpenAI-Responses. QuotaResetTime is HH:mm.
	APIURL             string       `json:"apiUrl,omitempty"`
	DailyQuota         result.Money `json:"dailyQuota,omitzero"`
	QuotaResetTime     string       `json:"quotaResetTime,omitempty"`
	MaxConcurrentTasks int64        `json:"maxConcurrentTasks,omitempty"`
	BaseAPI            string       `json:"baseApi,omitempty"`
	ProviderEndpoint   string       `json:"providerEndpoint,omitempty"`

	// Gemini and Gemini API.
	OAuthProvider string `json:"oauthProvider,omitempty"`
	ProjectID     string `json:"projectId,omitempty"`
	TempProjectID string `json:"tempProjectId,omitempty"`
	BaseURL       string `json:"baseUrl,omitempty"`

	// OpenAI; AccountID is ChatGPT's. OrganizationID and UserID are Droid's, too.
	AccountID         string `json:"accountId,omitempty"`
	ChatGPTUserID     string `json:"chatgptUserId,omitempty"`
	OrganizationID    string `json:"organizationId,omitempty"`
	OrganizationRole  string `json:"organizationRole,omitempty"`
	OrganizationTitle string `json:"organizationTitle,omitempty"`
	PlanType          string `json:"planType,omitempty"`
	EmailVerified     bool   `json:"emailVerified,omitempty"`

	// Azure.
	AzureEndpoint  string `json:"azureEndpoint,omitempty"`
	APIVersion     string `json:"apiVersion,omitempty"`
	DeploymentName string `json:"deploymentName,omitempty"`

	// Droid.
	EndpointType         string `json:"endpointType,omitempty"`
	UserID               string `json:"userId,omitempty"`
	TokenType            string `json:"tokenType,omitempty"`
	AuthenticationMethod string `json:"authenticationMethod,omitempty"`
	APIKeyStrategy       string `json:"apiKeyStrategy,omitempty"`

	// Bedrock.
	Region         string `json:"region,omitempty"`
	DefaultModel   string `json:"defaultModel,omitempty"`
	CredentialType string `json:"credentialType,omitempty"`

	// Extra keeps what has no field here: a JSON object. In JSON, unknown members
	// come here. Nothing here is sealed.
	Extra json.RawMessage `json:"extra,omitempty"`
}
