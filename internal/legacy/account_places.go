package legacy

// AccountPlace is where the accounts of a platform lie.
type AccountPlace struct {
	Platform string
	prefix   string
	shared   string
}

// AccountPlaces are all of them, two a platform where very old versions wrote to
// another one. A new account goes to its platform's first.
var AccountPlaces = accountPlaces()

// sharedSets are the sets of accounts that are shared, where the service keeps one.
var sharedSets = map[string]string{
	ClaudeConsole: "shared_claude_console_accounts", CCR: "shared_ccr_accounts", Gemini: "shared_gemini_accounts",
	GeminiAPI: "shared_gemini_api_accounts", OpenAI: "shared_openai_accounts",
	OpenAIResponses: "shared_openai_responses_accounts", AzureOpenAI: "shared_azure_openai_accounts",
}

func accountPlaces() []AccountPlace {
	all := make([]AccountPlace, len(platforms))
	for i, p := range platforms {
		all[i] = AccountPlace{p.word, p.prefix, sharedSets[p.word]}
	}
	return all
}

// PlaceOf gives where a platform's new accounts go.
func PlaceOf(platform string) (AccountPlace, bool) {
	for _, p := range AccountPlaces {
		if p.Platform == platform {
			return p, true
		}
	}
	return AccountPlace{}, false
}

// Key is an account's own: a hash, and for Bedrock a text.
func (p AccountPlace) Key(id string) string { return p.prefix + id }

// Pattern matches the keys of the place, and others that begin like them.
func (p AccountPlace) Pattern() string { return p.prefix + "*" }

// ID gives a key's id, which may be that of a key beside the accounts.
func (p AccountPlace) ID(key string) (id string, ok bool) {
	if len(key) <= len(p.prefix) || key[:len(p.prefix)] != p.prefix {
		return "", false
	}
	return key[len(p.prefix):], true
}

// Index is the set of the place's ids. It was not kept by old versions.
func (p AccountPlace) Index() string { return p.prefix + "index" }

// NoneKey says, for an hour, that a scan has found no account here.
func (p AccountPlace) NoneKey() string { return p.Index() + ":empty" }

// Shared is the set of the ids of shared accounts, "" where there is none.
func (p AccountPlace) Shared() string { return p.shared }

// RefreshLock is held by whoever refreshes an account's tokens: its holder's own text,
// for 60 seconds (tokenRefreshService.js).
func (p AccountPlace) RefreshLock(id string) string {
	return "token_refresh_lock:" + p.Platform + ":" + id
}

// GroupPlatforms are those by which accounts are grouped.
var GroupPlatforms = []string{Claude, Gemini, OpenAI, Droid}

// GroupsOf is the set of the groups that an account is in.
func GroupsOf(platform, id string) string { return "account_groups_reverse:" + platform + ":" + id }

// MembersPrefix is what the key of each group's set of accounts begins with.
const MembersPrefix = "account_group_members:"
