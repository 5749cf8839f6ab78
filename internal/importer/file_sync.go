package importer

import (
	"encoding/json"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// syncKinds are the kinds of /admin/sync/export-accounts.
var syncKinds = map[string]string{
	"claude-account": legacy.Claude, "claude-console-account": legacy.ClaudeConsole,
	"openai-oauth-account": legacy.OpenAI, "openai-responses-account": legacy.OpenAIResponses,
}

// syncNames are the service's own names for what the answer calls otherwise.
var syncNames = map[string]string{
	"access_token": "accessToken", "refresh_token": "refreshToken", "id_token": "idToken", "api_key": "apiKey",
	"expires_at": "expiresAt", "scope": "scopes", "model_mapping": "supportedModels", "user_agent": "userAgent",
	"chatgpt_account_id": "accountId", "chatgpt_user_id": "chatgptUserId", "organization_id": "organizationId",
}

// readSync takes the answer of /admin/sync/export-accounts, whose secrets are plain.
func (f *File) readSync(doc json.RawMessage) error {
	var data map[string]json.RawMessage
	if len(doc) == 0 || json.Unmarshal(doc, &data) != nil {
		return errFile
	}
	f.open = true
	at := data["exportedAt"]
	some := false
	for name, list := range data {
		var elements []syncAccount
		if name == "exportedAt" {
			continue
		}
		if json.Unmarshal(list, &elements) != nil {
			f.problem(legacy.Account, name, "not a list of accounts")
			continue
		}
		some = true
		for _, a := range elements {
			f.syncAccount(a, legacy.TextOf(at))
		}
	}
	if !some {
		return errFile
	}
	return nil
}

type syncAccount struct {
	Kind        string                     `json:"kind"`
	ID          string                     `json:"id"`
	Credentials map[string]json.RawMessage `json:"credentials"`
	Extra       map[string]json.RawMessage `json:"extra"`

	plain map[string]json.RawMessage
}

// UnmarshalJSON keeps the members that the service has under their own names, too.
func (a *syncAccount) UnmarshalJSON(doc []byte) error {
	type members syncAccount
	if err := json.Unmarshal(doc, (*members)(a)); err != nil {
		return err
	}
	return json.Unmarshal(doc, &a.plain)
}

func (f *File) syncAccount(a syncAccount, at string) {
	platform := syncKinds[a.Kind]
	if platform == "" || a.ID == "" {
		f.problem(legacy.Account, cut(a.ID, 100), "of a kind that is not known")
		return
	}
	fields := map[string]string{"createdAt": at, "updatedAt": at} // it tells no other times
	for _, name := range []string{"name", "description", "isActive", "schedulable", "priority", "status", "proxy", "maxConcurrentTasks"} {
		if raw, ok := a.plain[name]; ok {
			fields[name] = legacy.TextOf(raw)
		}
	}
	for name, raw := range a.Credentials {
		if own := syncNames[name]; own != "" {
			name = own
		}
		fields[name] = legacy.TextOf(raw)
	}
	if url := fields["base_url"]; url != "" {
		delete(fields, "base_url")
		fields[map[string]string{legacy.OpenAIResponses: "baseApi"}[platform]+map[string]string{legacy.ClaudeConsole: "apiUrl"}[platform]] = url
	}
	for name, raw := range a.Extra {
		fields[name] = legacy.TextOf(raw)
	}
	delete(fields, "")
	f.put(legacy.Name{Kind: legacy.Account, Platform: platform, ID: a.ID}, Entry{Fields: fields})
}
