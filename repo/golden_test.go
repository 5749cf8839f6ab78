package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/monitoring"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// goldenFile is a script of calls against a database of its own. The outputs are
// written by hand from the contract, never printed by the code. The texts <any>,
// <time>, <uuid>, <key>, <hash> and <number> stand for what cannot be fixed; in arguments,
// <token n> and <transaction n> stand for what the setup was given.
type goldenFile struct {
	Setup []goldenCall `json:"setup"`
	Cases []goldenCall `json:"cases"`
}

type goldenCall struct {
	Name   string            `json:"name"`
	Call   string            `json:"call"`
	Args   []json.RawMessage `json:"args"`
	Output json.RawMessage   `json:"output"`
}

func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		method := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			playGolden(t, openGolden(t), method)
		})
	}
}

// playGolden makes the calls of a method's file.
func playGolden(t *testing.T, client *repo.Client, method string) {
	t.Helper()
	golden := readGolden(t, filepath.Join("testdata", "golden", method+".json"))
	c := goldenClient{Client: client}
	var tokens goldenTokens
	for _, call := range golden.Setup {
		out := c.make(t, tokens.in(call))
		require.NotContains(t, string(out), `"code":`)
		tokens.add(t, out)
	}
	for _, call := range golden.Cases {
		require.Equal(t, method, call.Call)
		requireGolden(t, call.Name, call.Output, c.make(t, tokens.in(call)))
	}
}

func readGolden(t *testing.T, file string) (g goldenFile) {
	t.Helper()
	content, err := os.ReadFile(file) //nolint:gosec // of this repository
	require.NoError(t, err)
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&g))
	return g
}

func openGolden(t *testing.T) *repo.Client {
	t.Helper()
	keys, err := seal.Generate()
	require.NoError(t, err)
	c, err := repo.Open(t.Context(), repo.Config{
		DatabaseURL: testdb.URL(t), RedisURL: testdb.RedisURL(t), KeyPrefix: testdb.Prefix(t), MaxConns: 4, Keyset: keys,
		TokenRefresher: goldenProvider{}, AlertSecret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return c
}

// goldenProvider answers by the refresh token that it is given.
type goldenProvider struct{}

func (goldenProvider) Refresh(_ context.Context, req accounts.RefreshRequest) (accounts.Tokens, error) {
	switch req.RefreshToken {
	case "limited":
		return accounts.Tokens{}, &accounts.RefreshError{Kind: accounts.RefreshRateLimited, Status: 429, RetryAfter: 30 * time.Second}
	case "revoked":
		return accounts.Tokens{}, &accounts.RefreshError{Kind: accounts.RefreshInvalidGrant, Status: 400}
	case "unanswered":
		return accounts.Tokens{}, context.DeadlineExceeded
	}
	return accounts.Tokens{AccessToken: "access-2", RefreshToken: "refresh-2", ExpiresAt: time.Date(2099, 1, 2, 3, 4, 5, 678e6, time.UTC)}, nil
}

// goldenClient remembers the transactions that were begun: the argument
// "<transaction 0>" is the first one's id.
type goldenClient struct {
	*repo.Client

	begun []string
}

// make calls the method with its decoded arguments and marshals the envelope.
func (c *goldenClient) make(t *testing.T, g goldenCall) []byte {
	t.Helper()
	ctx := t.Context()
	var answer any
	switch g.Call {
	case "createApiKey":
		answer = c.APIKeys.CreateAPIKey(ctx, arg[apikeys.KeyData](t, g, 0))
	case "validateApiKey":
		answer = c.APIKeys.ValidateAPIKey(ctx, arg[string](t, g, 0))
	case "getApiKey":
		answer = c.APIKeys.GetAPIKey(ctx, arg[string](t, g, 0))
	case "updateApiKey":
		answer = c.APIKeys.UpdateAPIKey(ctx, arg[string](t, g, 0), arg[apikeys.Patch](t, g, 1))
	case "deleteApiKey":
		answer = c.APIKeys.DeleteAPIKey(ctx, arg[string](t, g, 0))
	case "getAllApiKeys":
		answer = c.APIKeys.GetAllAPIKeys(ctx, arg[apikeys.Filters](t, g, 0))
	case "recordApiKeyUsage":
		answer = c.APIKeys.RecordAPIKeyUsage(ctx, arg[string](t, g, 0), arg[apikeys.UsageData](t, g, 1))
	case "createClaudeAccount":
		answer = c.Accounts.CreateClaudeAccount(ctx, arg[accounts.AccountData](t, g, 0))
	case "getClaudeAccount":
		answer = c.Accounts.GetClaudeAccount(ctx, arg[string](t, g, 0))
	case "refreshOAuthToken":
		answer = c.Accounts.RefreshOAuthToken(ctx, arg[string](t, g, 0))
	case "updateAccountStatus":
		answer = c.Accounts.UpdateAccountStatus(ctx, arg[string](t, g, 0), arg[string](t, g, 1), arg[accounts.StatusMetadata](t, g, 2))
	case "getAvailableAccounts":
		answer = c.Accounts.GetAvailableAccounts(ctx, arg[accounts.AvailableFilters](t, g, 0))
	case "recordUsage":
		answer = c.Usage.RecordUsage(ctx, arg[usage.Record](t, g, 0))
	case "getUsageStats":
		answer = c.Usage.GetUsageStats(ctx, arg[usage.StatsQuery](t, g, 0))
	case "getCostAnalysis":
		answer = c.Usage.GetCostAnalysis(ctx, arg[usage.CostQuery](t, g, 0))
	case "cleanupOldStats":
		answer = c.Usage.CleanupOldStats(ctx, arg[int](t, g, 0))
	case "createSession", "validateSession", "updateSession", "deleteSession", "cleanupExpiredSessions":
		answer = g.session(t, c.Sessions)
	case "beginTransaction":
		answer = c.begin(t, arg[repo.TxOptions](t, g, 0))
	case "commitTransaction":
		answer = c.Transactions.CommitTransaction(ctx, c.transaction(arg[string](t, g, 0)))
	case "rollbackTransaction":
		answer = c.Transactions.RollbackTransaction(ctx, c.transaction(arg[string](t, g, 0)))
	case "batchOperation":
		answer = c.Transactions.BatchOperation(ctx, arg[[]batch.Operation](t, g, 0), arg[repo.TxOptions](t, g, 1))
	case "getPerformanceMetrics":
		answer = bare(c.Monitoring.GetPerformanceMetrics(ctx, arg[monitoring.Range](t, g, 0)))
	case "getQueryStats":
		answer = bare(c.Monitoring.GetQueryStats(ctx, arg[int](t, g, 0)))
	case "getStorageConfig", "switchStorageStrategy", "getStorageHealth", "setPerformanceAlert":
		answer = g.storage(t, c.Client)
	default:
		require.Fail(t, "no such method", g.Call)
	}
	out, err := json.Marshal(answer)
	require.NoError(t, err)
	return out
}

// begin gives what a JavaScript caller would see: the transaction, or the error.
func (c *goldenClient) begin(t *testing.T, opts repo.TxOptions) any {
	t.Helper()
	tx, err := c.Transactions.BeginTransaction(t.Context(), opts)
	if err != nil {
		return err
	}
	c.begun = append(c.begun, tx.TransactionID)
	return tx
}

func (c *goldenClient) transaction(text string) string {
	for i, id := range c.begun {
		text = strings.ReplaceAll(text, fmt.Sprintf("<transaction %d>", i), id)
	}
	return text
}

// bare is the answer of a method whose contract shows no envelope.
func bare[T any](v T, err error) any {
	if err != nil {
		return err
	}
	return v
}

func arg[T any](t *testing.T, g goldenCall, i int) (v T) {
	t.Helper()
	require.Greater(t, len(g.Args), i)
	require.NoError(t, json.Unmarshal(g.Args[i], &v), g.Name)
	return v
}
