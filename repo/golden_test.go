package repo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// goldenFile is a script of calls against a database of its own. The outputs are
// written by hand from the contract, never printed by the code. The texts <any>,
// <time> and <hash> stand for what cannot be fixed.
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
			c := openGolden(t)
			for _, call := range golden.Setup {
				require.Contains(t, string(call.make(t, c)), `"success":true`)
			}
			for _, call := range golden.Cases {
				require.Equal(t, method, call.Call)
				requireGolden(t, call.Name, call.Output, call.make(t, c))
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

// make calls the method with its decoded arguments and marshals the envelope.
func (g goldenCall) make(t *testing.T, c *repo.Client) []byte {
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
	default:
		require.Fail(t, "no such method", g.Call)
	}
	out, err := json.Marshal(answer)
	require.NoError(t, err)
	return out
}

func arg[T any](t *testing.T, g goldenCall, i int) (v T) {
	t.Helper()
	require.Greater(t, len(g.Args), i)
	require.NoError(t, json.Unmarshal(g.Args[i], &v), g.Name)
	return v
}

// requireGolden compares documents whole: members, their kinds, and numbers digit
// by digit.
func requireGolden(t *testing.T, name string, want, got []byte) {
	t.Helper()
	if difference := differ("", document(t, want), document(t, got)); difference != "" {
		require.Fail(t, name, "%s\nin %s", difference, got)
	}
}

func document(t *testing.T, text []byte) (v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&v))
	return v
}

var placeholders = map[any]*regexp.Regexp{
	"<any>":  regexp.MustCompile(`(?s)^.+$`),
	"<time>": regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`),
	"<hash>": regexp.MustCompile(`^[0-9a-f]{64}$`),
}

// differ gives the first difference between two documents, or "".
func differ(path string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, no object", path, got)
		}
		return differObjects(path, w, g)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %d elements", path, got, len(w))
		}
		for i := range w {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if pattern := placeholders[want]; pattern != nil {
		if text, ok := got.(string); ok && pattern.MatchString(text) {
			return ""
		}
	}
	if want != got {
		return fmt.Sprintf("%s is %v, want %v", path, got, want)
	}
	return ""
}

func differObjects(path string, want, got map[string]any) string {
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Sprintf("%s.%s should not be there", path, name)
		}
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			return fmt.Sprintf("%s.%s is missing", path, name)
		}
		if d := differ(path+"."+name, w, g); d != "" {
			return d
		}
	}
	return ""
}
