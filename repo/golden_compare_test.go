package repo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

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
	if _, ok := got.(json.Number); ok && want == "<number>" {
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
