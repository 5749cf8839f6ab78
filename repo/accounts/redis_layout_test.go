package accounts_test

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// laid is an account with all that its platform has in the layout.
func laid(platform string) accounts.AccountData {
	d := accounts.AccountData{
		Platform: platform, Name: "null", Description: `<"a">`, AccountType: "shared", Priority: 7,
		ProxyConfig: &accounts.ProxyConfig{Type: "http", Host: "h", Port: 81, Username: "u", Password: "p:w"},
		Details: accounts.Details{
			SubscriptionExpiresAt: time.Date(2099, 3, 4, 5, 6, 7, 8000000, time.UTC), DisableAutoProtection: true,
			Extra: json.RawMessage(`{"deep":{"n":1},"note":"n","status":"mine","userAgent":5}`),
		},
	}
	oauth := &accounts.OAuthData{AccessToken: "at-ü", RefreshToken: "rt", Scopes: []string{"a:b", "c"}, ExpiresAt: time.Date(2099, 1, 2, 3, 4, 5, 678000000, time.UTC)}
	switch platform {
	case accounts.Claude:
		d.OAuthData, d.Secrets = oauth, accounts.Secrets{Email: "e", Password: "pw"}
		d.Details.ExtInfo, d.Details.MaxConcurrency, d.Details.AutoStopOnWarning = json.RawMessage(`{"a":1}`), 3, true
	case accounts.ClaudeConsole, accounts.CCR:
		d.APIKey, d.Details.APIURL, d.Details.QuotaResetTime = "key", "https://api", "01:30"
		d.Details.DailyQuota, d.Details.SupportedModels = result.MustMoney("25.000000000001"), json.RawMessage(`{"a":"b"}`)
	case accounts.Bedrock:
		d.Secrets = accounts.Secrets{AWS: &accounts.AWSCredentials{AccessKeyID: "AK", SecretAccessKey: "SK", SessionToken: "ST"}, BearerToken: "bt"}
		d.Details.Region, d.Details.SupportedModels = "us-east-1", json.RawMessage(`["m"]`)
	case accounts.Gemini:
		d.OAuthData = oauth
		d.Details.ProjectID, d.Details.OAuthProvider, d.Details.SupportedModels = "p-1", "antigravity", json.RawMessage(`["a","b"]`)
	case accounts.OpenAI:
		d.OAuthData, d.Secrets = oauth, accounts.Secrets{Email: "e", IDToken: "it"}
		d.Details.AccountID, d.Details.EmailVerified = "acc", true
	case accounts.Droid:
		d.Secrets = accounts.Secrets{APIKeys: []string{"k1", "k2"}}
		d.Details.AuthenticationMethod = "api_key"
	default:
		d.APIKey, d.Details.SupportedModels = "key", json.RawMessage(`["m"]`)
	}
	return d
}

// The service reads what is written of each type, and so does the library.
func TestRedisLayout(t *testing.T) {
	b := setup(t, onRedis(t), noKeyset)
	s := b.service()
	for _, platform := range accounts.Platforms {
		d, at := laid(platform), layouts[platform]
		id := b.create(d)
		fields := s.readAsService(platform, at.prefix+id)
		s.requireCommon(fields, id, platform)
		s.requireSecrets(platform, fields)
		require.Equal(t, []string{id}, s.set(at.prefix+"index"))
		if at.shared != "" {
			require.Equal(t, []string{id}, s.set(at.shared))
		}

		a := b.get(id)
		require.Equal(t, []any{"null", platform, `<"a">`, "shared", 7, true, accounts.Active}, []any{a.Name, a.Platform, a.Description, a.AccountType, a.Priority, a.Schedulable, a.Status})
		require.JSONEq(t, marshal(t, d.Details), marshal(t, a.Details), platform)
		c := b.credentials(id)
		require.Equal(t, []any{d.APIKey, d.Secrets, d.ProxyConfig}, []any{c.APIKey, c.Secrets, c.ProxyConfig}, platform)
		if o := d.OAuthData; o != nil {
			got := accounts.OAuthData{AccessToken: c.AccessToken, RefreshToken: c.RefreshToken, Scopes: c.Scopes, ExpiresAt: c.ExpiresAt}
			require.Equal(t, *o, got)
		}
	}
	page, err := b.accs.ListAccounts(t.Context(), accounts.ListFilters{}).Get()
	require.NoError(t, err)
	require.Equal(t, len(accounts.Platforms), page.Total)
	for _, a := range page.Accounts {
		s.do("SADD", "account_groups_reverse:claude:"+a.ID, "g")
		s.do("SADD", "account_group_members:g", a.ID)
		require.NoError(t, b.accs.DeleteAccount(t.Context(), a.ID).Err())
		require.ErrorIs(t, b.accs.DeleteAccount(t.Context(), a.ID).Err(), result.RecordNotFound)
	}
	require.ElementsMatch(t, []string{"relaystore:epoch:account", "claude_account:index:empty", "openai_account:index:empty"}, s.keys(), "nothing is left")
}

// readAsService gives an account's fields as texts.
func (s service) readAsService(platform, key string) map[string]string {
	s.Helper()
	if platform != accounts.Bedrock {
		return s.hash(key)
	}
	fields := make(map[string]string)
	doc := s.document(s.text("GET", key))
	require.IsType(s, true, doc["isActive"])
	require.IsType(s, true, doc["schedulable"])
	require.IsType(s, 1.0, doc["priority"])
	for name, value := range doc {
		text, is := value.(string)
		if !is {
			text = marshal(s.TB, value)
		}
		fields[name] = text
	}
	return fields
}

func (s service) requireCommon(fields map[string]string, id, platform string) {
	s.Helper()
	for name, want := range map[string]string{
		"id": id, "name": "null", "description": `<"a">`, "accountType": "shared", "priority": "7", "isActive": "true", "schedulable": "true",
		"status": "active", "subscriptionExpiresAt": "2099-03-04T05:06:07.008Z", "disableAutoProtection": "true", "note": "n",
	} {
		if name == "status" && platform == accounts.Bedrock {
			continue
		}
		require.Equal(s, want, fields[name], "%s of %s", name, platform)
	}
	for _, name := range []string{"createdAt", "updatedAt"} {
		_, err := time.Parse("2006-01-02T15:04:05.000Z", fields[name])
		require.NoError(s, err)
	}
	require.Equal(s, map[string]any{"type": "http", "host": "h", "port": 81.0, "username": "u", "password": "p:w"}, s.document(fields["proxy"]))
}

func (s service) requireSecrets(platform string, fields map[string]string) {
	s.Helper()
	salt := layouts[platform].salt
	opened := func(name string) string { return s.open(salt, fields[name]) }
	ms := float64(time.Date(2099, 1, 2, 3, 4, 5, 678000000, time.UTC).UnixMilli())
	switch platform {
	case accounts.Claude:
		require.Equal(s, []string{"at-ü", "rt", "e", "pw"}, []string{opened("accessToken"), opened("refreshToken"), opened("email"), opened("password")})
		require.Equal(s, []string{strconv.Itoa(int(ms)), "a:b c", "3", "true"}, []string{fields["expiresAt"], fields["scopes"], fields["maxConcurrency"], fields["autoStopOnWarning"]})
		require.Equal(s, map[string]any{"accessToken": "at-ü", "refreshToken": "rt", "expiresAt": ms, "scopes": []any{"a:b", "c"}}, s.document(opened("claudeAiOauth")))
	case accounts.Gemini:
		require.Equal(s, []string{"at-ü", "rt", "2099-01-02T03:04:05.678Z", "a,b"}, []string{opened("accessToken"), opened("refreshToken"), fields["expiresAt"], fields["supportedModels"]})
		require.Equal(s, ms, s.document(opened("geminiOauth"))["expiry_date"]) //nolint:testifylint // a whole number
	case accounts.OpenAI:
		require.Equal(s, []string{"at-ü", "rt", "it", "e"}, []string{opened("accessToken"), opened("refreshToken"), opened("idToken"), opened("email")})
		require.Equal(s, "it", s.document(opened("openaiOauth"))["idToken"])
	case accounts.Bedrock:
		for name, want := range map[string]string{"awsCredentials": `{"accessKeyId":"AK","secretAccessKey":"SK","sessionToken":"ST"}`, "bearerToken": `{"token":"bt"}`} {
			closed := s.document(fields[name])
			require.JSONEq(s, want, s.decrypt("", closed["iv"].(string), closed["encrypted"].(string)))
		}
	case accounts.Droid:
		var entries []map[string]string
		require.NoError(s, json.Unmarshal([]byte(fields["apiKeys"]), &entries))
		require.Equal(s, "2", fields["apiKeyCount"])
		for i, key := range []string{"k1", "k2"} {
			hash := sha256.Sum256([]byte(key))
			require.Equal(s, []string{key, hex.EncodeToString(hash[:]), "active"}, []string{s.open(salt, entries[i]["encryptedKey"]), entries[i]["hash"], entries[i]["status"]})
		}
	default:
		require.Equal(s, "key", opened("apiKey"))
	}
}

// fixture loads the accounts of the legacy service's own Redis.
func (s service) fixture(dir string) {
	s.Helper()
	file, err := os.Open(filepath.Join(dir, "legacy-redis.resp.gz"))
	require.NoError(s, err)
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	require.NoError(s, err)
	for in := bufio.NewReader(unzipped); ; {
		words, err := readCommand(in)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(s, err)
		if key := words[1]; strings.Contains(key, "account") && !strings.Contains(key, "usage") {
			s.do(words...)
		}
	}
}

func readCommand(in *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := number()
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

// What the service itself has written is read with every secret.
func TestRedisFixture(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "fixtures", "legacy-redis")
	doc, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs ../shared/fixtures/legacy-redis beside the project")
	}
	require.NoError(t, err)
	var expected struct {
		Accounts []struct {
			ID    string
			Plain struct{ AccessToken, RefreshToken, Email string }
		}
	}
	require.NoError(t, json.Unmarshal(doc, &expected))
	b := setup(t, onRedis(t), noKeyset)
	s := b.service()
	s.fixture(dir)
	before := s.dump()
	for _, want := range expected.Accounts {
		c := b.credentials(want.ID)
		require.Equal(t, []string{want.Plain.AccessToken, want.Plain.RefreshToken, want.Plain.Email}, []string{c.AccessToken, c.RefreshToken, c.Secrets.Email})
		require.True(t, c.IsActive)
		fields := s.hash("claude:account:" + want.ID)
		a := b.get(want.ID)
		require.Equal(t, []string{fields["name"], fields["priority"], fields["scopes"], fields["accountType"]}, []string{a.Name, strconv.Itoa(a.Priority), strings.Join(a.Scopes, " "), a.AccountType})
		if fields["expiresAt"] != "" {
			require.Equal(t, fields["expiresAt"], strconv.FormatInt(c.ExpiresAt.UnixMilli(), 10))
		}
	}
	page, err := b.accs.ListAccounts(t.Context(), accounts.ListFilters{}).Get()
	require.NoError(t, err)
	require.Equal(t, 13, page.Total)
	got := make(map[string][]string)
	for _, a := range page.Accounts {
		c := b.credentials(a.ID)
		if a.Platform == accounts.Claude {
			continue
		}
		secrets := append([]string{c.APIKey, c.AccessToken, c.RefreshToken, c.Secrets.IDToken}, c.Secrets.APIKeys...)
		if c.Secrets.AWS != nil {
			secrets = append(secrets, c.Secrets.AWS.AccessKeyID, c.Secrets.AWS.SecretAccessKey)
		}
		got[a.Platform] = strings.Fields(strings.Join(secrets, " "))
	}
	require.Equal(t, map[string][]string{
		accounts.ClaudeConsole: {"console-secret-1"}, accounts.CCR: {"ccr-secret-1"}, accounts.Bedrock: {"AKIAFIXTURE", "bedrock-secret-1"},
		accounts.Gemini: {"gem-at-1", "gem-rt-1"}, accounts.GeminiAPI: {"gemini-api-secret-1"}, accounts.OpenAI: {"oa-at-1", "oa-rt-1", "oa-id-1"},
		accounts.OpenAIResponses: {"responses-secret-1"}, accounts.AzureOpenAI: {"azure-secret-1"}, accounts.Droid: {"droid-secret-1", "droid-secret-2"},
	}, got)
	socks := b.credentials("107d5737-3377-4b06-9938-8197a3ab8a72").ProxyConfig
	require.Equal(t, accounts.ProxyConfig{Type: "socks5", Host: "127.0.0.1", Port: 1080, Username: "u", Password: "p@ss:word"}, *socks)
	after := s.dump()
	delete(after, "claude_account:index:empty")
	delete(after, "openai_account:index:empty")
	require.Equal(t, before, after, "reading changes nothing")
}
