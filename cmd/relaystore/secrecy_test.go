package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/sessions"
)

// talkative are settings of a PostgreSQL that logs each statement, also one that
// fails, with each argument in full.
var talkative = []string{
	"log_statement = 'all'", "log_min_duration_statement = 0", "log_min_error_statement = 'debug5'", "log_min_messages = 'debug1'",
	"log_parameter_max_length = -1", "log_parameter_max_length_on_error = -1", "log_error_verbosity = 'verbose'",
}

// secretRun is a run of the command and the library on servers of its own, that
// notes every secret it used and all that was printed.
type secretRun struct {
	*testing.T

	env      []string
	provider *testprovider.Provider
	log      string // PostgreSQL's file
	secrets  []string
	printed  strings.Builder
}

func newSecretRun(t *testing.T) *secretRun {
	t.Helper()
	stack := startStack(t)
	r := &secretRun{T: t, provider: testprovider.Start(t), log: filepath.Join(stack.Dir, "postgres.log")}
	keyset, _ := keysetEnv(t)
	r.env = slices.Concat(keyset, []string{
		"DATABASE_URL=" + stack.DatabaseURL, "REDIS_URL=" + stack.RedisURL, "RELAYSTORE_DIRECT_URL=",
		fmt.Sprintf(`RELAYSTORE_OAUTH={"claude":{"tokenUrl":%q,"clientId":%q}}`, r.provider.URL, testprovider.ClientID),
	})
	ran(t, r.env, "keyset", "create")
	ran(t, r.env, "migrate", "up")
	pool := testdb.Pool(t, stack.DatabaseURL)
	defer pool.Close()
	for _, setting := range talkative {
		_, err := pool.Exec(t.Context(), "ALTER SYSTEM SET "+setting)
		require.NoError(t, err)
	}
	_, err := pool.Exec(t.Context(), "SELECT pg_reload_conf()")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var now string
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_setting('log_statement')").Scan(&now))
		return now == "all"
	}, patience, 10*time.Millisecond)
	return r
}

// secret makes one that is like no other.
func (r *secretRun) secret() string {
	s := "SECRET-" + uuid.NewString()
	r.secrets = append(r.secrets, s)
	return s
}

func (r *secretRun) account(platform string) map[string]any {
	access, refresh := r.provider.Authorise()
	r.secrets = append(r.secrets, access, refresh)
	return map[string]any{
		"platform": platform, "name": "n", "apiKey": r.secret(),
		"oauthData":   map[string]any{"accessToken": access, "refreshToken": refresh},
		"proxyConfig": map[string]any{"type": "http", "host": "127.0.0.1", "port": 1, "username": "proxy-user", "password": r.secret()},
		"secrets": map[string]any{
			"idToken": r.secret(), "email": r.secret(), "password": r.secret(), "bearerToken": r.secret(), "apiKeys": []string{r.secret()},
			"awsCredentials": map[string]any{"accessKeyId": r.secret(), "secretAccessKey": r.secret(), "sessionToken": r.secret()},
		},
	}
}

// command runs one and keeps what it prints, for a program or for a person.
func (r *secretRun) command(input any, args ...string) string {
	r.Helper()
	doc, err := json.Marshal(input)
	require.NoError(r, err)
	p := relaystoreWithInput(r.T, r.env, string(doc), args...)
	out, _ := p.finish(r.T)
	r.printed.WriteString(out + p.errors.String())
	return out
}

// commands are all of accounts, and those that fail.
func (r *secretRun) commands() {
	r.Helper()
	for _, platform := range accounts.Platforms {
		data := r.account(platform)
		var created accounts.Created
		require.NoError(r, json.Unmarshal([]byte(r.command(data, "accounts", "add", "-", "--json")), &created))
		for _, asJSON := range [][]string{nil, {"--json"}} {
			for _, args := range [][]string{
				{"accounts", "show", created.ID}, {"accounts", "list"}, {"accounts", "refresh", created.ID},
				{"accounts", "set-status", created.ID, "rate_limited", "--message", "429"},
			} {
				r.command(nil, append(args, asJSON...)...)
			}
		}
		data["id"] = created.ID
		require.Empty(r, r.command(data, "accounts", "add", "-", "--json"), "it is there already")
		data["apiKey"] = r.secret() + "\n"
		require.Empty(r, r.command(data, "accounts", "add", "-", "--json"))
	}
	direct := r.account(accounts.Claude)
	delete(direct, "proxyConfig")
	var created accounts.Created
	require.NoError(r, json.Unmarshal([]byte(r.command(direct, "accounts", "add", "-", "--json")), &created))
	require.Contains(r, r.command(nil, "accounts", "refresh", created.ID, "--json"), created.ID)
	r.command(nil, "reseal", "--json")
}

// library does what the command does not: it reads and sets credentials, also where
// PostgreSQL refuses, and validates a key and a session.
func (r *secretRun) library() {
	r.Helper()
	cfg := repo.Config{Logger: slog.New(slog.NewTextHandler(&r.printed, nil))}
	for _, pair := range r.env {
		name, value, _ := strings.Cut(pair, "=")
		*map[string]*string{
			"DATABASE_URL": &cfg.DatabaseURL, "REDIS_URL": &cfg.RedisURL, "RELAYSTORE_KEYSET_FILE": &cfg.KeysetFile,
			"RELAYSTORE_KEYSET": new(string), "RELAYSTORE_DIRECT_URL": new(string), "RELAYSTORE_OAUTH": new(string),
		}[name] = value
	}
	client, err := repo.Open(r.Context(), cfg)
	require.NoError(r, err)
	defer func() { require.NoError(r, client.Close(context.Background())) }()
	page, err := client.Accounts.ListAccounts(r.Context(), accounts.ListFilters{}).Get()
	require.NoError(r, err)
	for _, a := range page.Accounts {
		c, err := client.Accounts.GetCredentials(r.Context(), a.ID).Get()
		require.NoError(r, err)
		r.secrets = append(r.secrets, c.AccessToken, c.RefreshToken)
		patch := accounts.CredentialsPatch{APIKey: result.Set(r.secret()), OAuthData: result.Set(accounts.OAuthData{AccessToken: r.secret()})}
		require.NoError(r, client.Accounts.SetCredentials(r.Context(), a.ID, patch).Err())
	}
	plaintext := r.secret()
	hash := apikeys.HashPlaintext(plaintext)
	require.NoError(r, client.APIKeys.CreateAPIKey(r.Context(), apikeys.KeyData{Name: "n", HashedKey: hash}).Err())
	require.Error(r, client.APIKeys.CreateAPIKey(r.Context(), apikeys.KeyData{Name: "n", HashedKey: hash}).Err())
	require.NoError(r, client.APIKeys.ValidateAPIKey(r.Context(), hash).Err())
	s, err := client.Sessions.CreateSession(r.Context(), sessions.Data{UserID: "u", UserType: sessions.User, SessionData: json.RawMessage(`{}`)}).Get()
	require.NoError(r, err)
	r.secrets = append(r.secrets, s.SessionToken)
	require.NoError(r, client.Sessions.ValidateSession(r.Context(), s.SessionToken).Err())
	require.NoError(r, client.Sessions.UpdateSession(r.Context(), s.SessionToken, sessions.Patch{SessionData: json.RawMessage(`{"a":1}`)}).Err())
	require.NoError(r, client.Sessions.DeleteSession(r.Context(), s.SessionToken).Err())
}

// requireClean looks for every secret, as it is, in hex and in base64.
func (r *secretRun) requireClean(where, text string) {
	r.Helper()
	for _, s := range r.secrets {
		if s == "" {
			continue // such an account has no refresh token
		}
		forms := []string{s, hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
		for shift := range 3 { // wherever it stands in what is encoded
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + s))
			forms = append(forms, encoded[4:len(encoded)-4])
		}
		for _, form := range forms {
			if i := strings.Index(text, form); i >= 0 {
				require.Fail(r, "a secret in "+where, text[max(0, i-200):i+len(form)]) // NotContains would print it all
			}
		}
	}
}

// PostgreSQL gets sealed values and hashes alone, so that it cannot log a secret
// however much it logs, and the command prints none.
func TestNoSecretInAnyOutputNorInPostgreSQLsLog(t *testing.T) {
	t.Parallel()
	r := newSecretRun(t)
	r.commands()
	r.library()
	r.requireClean("what was printed", r.printed.String())
	require.Contains(t, r.printed.String(), `"proxyConfig"`)
	require.Greater(t, len(r.secrets), 12*len(accounts.Platforms))

	file, err := os.Open(r.log)
	require.NoError(t, err)
	defer file.Close()
	log, err := io.ReadAll(file)
	require.NoError(t, err)
	r.requireClean("PostgreSQL's log", string(log))
	for _, logged := range []string{"INSERT INTO accounts", "proxy-user", "$1 = ", "duplicate key", "AccountStoreTokens", "AccountSetCredentials", "SessionInsert"} {
		require.Contains(t, string(log), logged, "the log holds statements and arguments")
	}
}
