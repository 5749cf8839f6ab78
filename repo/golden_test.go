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

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/batch"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// goldenFile is a script of calls against a database of its own. The outputs are
// written by hand from the contract, never printed by the code. The texts <any>,
// <time>, <uuid>, <key> and <hash> stand for what cannot be fixed.
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
			golden := readGolden(t, file)
			g := goldenClient{Client: openGolden(t)}
			for _, call := range golden.Setup {
				require.NotContains(t, string(g.make(t, call)), `"code":`)
			}
			for _, call := range golden.Cases {
				require.Equal(t, method, call.Call)
				requireGolden(t, call.Name, call.Output, g.make(t, call))
			}
		})
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
	c, err := repo.Open(t.Context(), repo.Config{
		DatabaseURL: testdb.URL(t), RedisURL: testdb.RedisURL(t), KeyPrefix: testdb.Prefix(t), MaxConns: 4,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(context.Background())) })
	return c
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
	case "recordUsage":
		answer = c.Usage.RecordUsage(ctx, arg[usage.Record](t, g, 0))
	case "getUsageStats":
		answer = c.Usage.GetUsageStats(ctx, arg[usage.StatsQuery](t, g, 0))
	case "beginTransaction":
		answer = c.begin(t, arg[repo.TxOptions](t, g, 0))
	case "commitTransaction":
		answer = c.Transactions.CommitTransaction(ctx, c.transaction(arg[string](t, g, 0)))
	case "rollbackTransaction":
		answer = c.Transactions.RollbackTransaction(ctx, c.transaction(arg[string](t, g, 0)))
	case "batchOperation":
		answer = c.Transactions.BatchOperation(ctx, arg[[]batch.Operation](t, g, 0), arg[repo.TxOptions](t, g, 1))
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

func arg[T any](t *testing.T, g goldenCall, i int) (v T) {
	t.Helper()
	require.Greater(t, len(g.Args), i)
	require.NoError(t, json.Unmarshal(g.Args[i], &v), g.Name)
	return v
}
