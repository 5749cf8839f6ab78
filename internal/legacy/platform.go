package legacy

// Platforms of accounts, by the service's own words.
const (
	Claude          = "claude"
	ClaudeConsole   = "claude-console"
	CCR             = "ccr"
	Bedrock         = "bedrock"
	Gemini          = "gemini"
	GeminiAPI       = "gemini-api"
	OpenAI          = "openai"
	OpenAIResponses = "openai-responses"
	AzureOpenAI     = "azure-openai"
	Droid           = "droid"
)

// platform is where a type of account lies and how its secrets are closed.
type platform struct {
	word   string
	prefix string // of the account's key
	salt   string // of the cipher's key; Bedrock has none
}

// platforms are in the order in which a key's name is compared with their prefixes;
// the last two are those of very old versions, for reading.
var platforms = []platform{
	{Claude, "claude:account:", "salt"},
	{ClaudeConsole, "claude_console_account:", "claude-console-salt"},
	{CCR, "ccr_account:", "ccr-account-salt"},
	{Bedrock, "bedrock_account:", ""},
	{Gemini, "gemini_account:", "gemini-account-salt"},
	{GeminiAPI, "gemini_api_account:", "gemini-api-salt"},
	{OpenAI, "openai:account:", "openai-account-salt"},
	{OpenAIResponses, "openai_responses_account:", "openai-responses-salt"},
	{AzureOpenAI, "azure_openai:account:", "azure-openai-account-default-salt"},
	{Droid, "droid:account:", "droid-account-salt"},
	{Claude, "claude_account:", "salt"},
	{OpenAI, "openai_account:", "openai-account-salt"},
}

func platformOf(word string) (platform, bool) {
	for _, p := range platforms {
		if p.word == word {
			return p, true
		}
	}
	return platform{}, false
}
