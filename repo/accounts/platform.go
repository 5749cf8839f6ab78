package accounts

// Platforms of accounts, by the legacy service's words (claude-relay-service
// v1.1.314).
const (
	Claude          = "claude" // OAuth and setup tokens
	ClaudeConsole   = "claude-console"
	CCR             = "ccr"
	Bedrock         = "bedrock"
	Gemini          = "gemini"
	GeminiAPI       = "gemini-api"
	OpenAI          = "openai" // Codex
	OpenAIResponses = "openai-responses"
	AzureOpenAI     = "azure-openai"
	Droid           = "droid"
)

// Platforms lists all of them.
var Platforms = []string{
	Claude, ClaudeConsole, CCR, Bedrock, Gemini, GeminiAPI, OpenAI, OpenAIResponses, AzureOpenAI, Droid,
}

// Statuses of an account.
const (
	Active      = "active"
	Inactive    = "inactive"
	RateLimited = "rate_limited"
	InError     = "error"
)

// Statuses lists all of them.
var Statuses = []string{Active, Inactive, RateLimited, InError}

var accountTypes = []string{"shared", "dedicated", "group"}

var proxyTypes = []string{"http", "socks5"}
