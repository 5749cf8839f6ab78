package accounts

import (
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// AccountData is what an account is created with: the contract's accountData, and
// what other platforms and schedulers need. Only Name and Platform are required.
type AccountData struct {
	hidden

	// ID is a UUID; one is made when it is empty.
	ID string `json:"id,omitempty"`
	// Platform is one of Platforms; CreateClaudeAccount needs none.
	Platform string `json:"platform,omitempty"`
	// Name has 1 to 255 characters and need not be unique.
	Name string `json:"name"`
	// Description has at most 4,096 characters.
	Description string `json:"description,omitempty"`
	// AccountType is shared (the default), dedicated or group.
	AccountType string `json:"accountType,omitempty"`
	// Priority is 1 to 100, lower first; 0 is 50.
	Priority int `json:"priority,omitempty"`
	// Schedulable is true where it is nil; an account that is not is paused.
	Schedulable *bool `json:"schedulable,omitempty"`

	OAuthData *OAuthData `json:"oauthData,omitempty"`
	// APIKey is the provider's, at most 16 KiB.
	APIKey string `json:"apiKey,omitempty"`
	// Secrets are what the platform needs beside tokens and an API key.
	Secrets     Secrets      `json:"secrets,omitzero"`
	ProxyConfig *ProxyConfig `json:"proxyConfig,omitempty"`
	Details     Details      `json:"details,omitzero"`
}

// OAuthData is the contract's oauthData. Tokens have at most 16 KiB.
type OAuthData struct {
	hidden

	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken,omitempty"`
	// Scopes are at most 100 of at most 255 characters.
	Scopes []string `json:"scopes,omitempty"`
	// ExpiresAt is when the access token stops working; the zero time is unknown.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// ProxyConfig is the contract's proxyConfig: how to reach the provider.
type ProxyConfig struct {
	hidden

	// Type is http or socks5.
	Type string `json:"type"`
	// Host is a name or an address of at most 255 characters.
	Host string `json:"host"`
	Port int    `json:"port"`
	// Username is stored and shown as it is; Password is sealed, and shown by
	// GetCredentials alone, not by MarshalJSON. Both have at most 1,024 characters.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// Secrets are what platforms need beside tokens and an API key: 64 KiB at most
// together, sealed as one.
type Secrets struct {
	hidden

	// IDToken is OpenAI's.
	IDToken string `json:"idToken,omitempty"`
	// Email and Password are the owner's at the provider.
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
	// AWS and BearerToken are Bedrock's, one of them.
	AWS         *AWSCredentials `json:"awsCredentials,omitempty"`
	BearerToken string          `json:"bearerToken,omitempty"`
	// APIKeys are Droid's, at most 100.
	APIKeys []string `json:"apiKeys,omitempty"`
}

// AWSCredentials sign requests to Bedrock.
type AWSCredentials struct {
	hidden

	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// Created is what creating gives.
type Created struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"createdAt"`
}

// ClaudeAccount is what GetClaudeAccount gives: the contract's ClaudeAccountData.
type ClaudeAccount struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	// Status is the stored word; whether a limit has passed, RateLimitStatus tells.
	Status          string          `json:"status"`
	TokenExpiresAt  time.Time       `json:"tokenExpiresAt,omitzero"`
	LastUsedAt      time.Time       `json:"lastUsedAt,omitzero"`
	RateLimitStatus RateLimitStatus `json:"rateLimitStatus"`
	UsageStats      UsageStats      `json:"usageStats"`
}

// RateLimitStatus is what the provider said last.
type RateLimitStatus struct {
	// Remaining is in tokens until ResetAt; -1 is unknown, as it is after ResetAt.
	Remaining int64     `json:"remaining"`
	ResetAt   time.Time `json:"resetAt,omitzero"`
}

// UsageStats are the account's sums of all time.
type UsageStats struct {
	TotalRequests int64        `json:"totalRequests"`
	TotalTokens   int64        `json:"totalTokens"`
	TotalCost     result.Money `json:"totalCost"`
}

// Account is an account of any platform: what a ClaudeAccount has, and all else
// that is no secret.
type Account struct {
	ID              string          `json:"id"`
	Platform        string          `json:"platform"`
	Name            string          `json:"name"`
	Description     string          `json:"description"`
	AccountType     string          `json:"accountType"`
	Priority        int             `json:"priority"`
	Schedulable     bool            `json:"schedulable"`
	Status          string          `json:"status"`
	ErrorMessage    string          `json:"errorMessage,omitempty"`
	TokenExpiresAt  time.Time       `json:"tokenExpiresAt,omitzero"`
	LastUsedAt      time.Time       `json:"lastUsedAt,omitzero"`
	RateLimitStatus RateLimitStatus `json:"rateLimitStatus"`
	UsageStats      UsageStats      `json:"usageStats"`
	// Scopes are those of the access token.
	Scopes []string `json:"scopes,omitempty"`
	// ProxyConfig comes without its password.
	ProxyConfig *ProxyConfig `json:"proxyConfig,omitempty"`
	Details     Details      `json:"details,omitzero"`
	CreatedAt   time.Time    `json:"createdAt"`
	UpdatedAt   time.Time    `json:"updatedAt"`
}

// Credentials are what a call to the provider needs. They print and marshal as
// "[redacted]"; RevealJSON does not.
type Credentials struct {
	hidden

	AccountID string `json:"accountId"`
	Platform  string `json:"platform"`
	// IsActive is false while the status is inactive or error. Rate limits do not
	// show here.
	IsActive bool `json:"isActive"`

	AccessToken  string       `json:"accessToken,omitempty"`
	RefreshToken string       `json:"refreshToken,omitempty"`
	APIKey       string       `json:"apiKey,omitempty"`
	Secrets      Secrets      `json:"secrets,omitzero"`
	Scopes       []string     `json:"scopes,omitempty"`
	ExpiresAt    time.Time    `json:"expiresAt,omitzero"`
	ProxyConfig  *ProxyConfig `json:"proxyConfig,omitempty"`
}

// CredentialsPatch is what SetCredentials changes: an absent member keeps what is
// stored, null removes it, a value replaces it as a whole.
type CredentialsPatch struct {
	hidden

	OAuthData   result.Opt[OAuthData]   `json:"oauthData,omitzero"`
	APIKey      result.Opt[string]      `json:"apiKey,omitzero"`
	Secrets     result.Opt[Secrets]     `json:"secrets,omitzero"`
	ProxyConfig result.Opt[ProxyConfig] `json:"proxyConfig,omitzero"`
}
