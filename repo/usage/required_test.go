package usage_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// JavaScript prints NaN as null, and leaves undefined out.
func TestMembersAreRequired(t *testing.T) {
	t.Parallel()
	const record = `{"apiKeyId":"a","accountType":"claude","model":"m","inputTokens":1,"outputTokens":2,"totalTokens":3,"cost":0.5,"requestCount":1}`
	requireMembers(t, record, "", &usage.Record{})
	requireMembers(t, record, "apiKeyId accountType totalTokens", &apikeys.UsageData{})
}

func requireMembers(t *testing.T, doc, without string, into any) {
	t.Helper()
	all := map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal([]byte(doc), &all))
	for _, name := range strings.Fields(without) {
		delete(all, name)
	}
	for name, value := range all {
		for _, bad := range []json.RawMessage{nil, json.RawMessage("null")} {
			if all[name] = bad; bad == nil {
				delete(all, name)
			}
			given, err := json.Marshal(all)
			require.NoError(t, err)
			err = json.Unmarshal(given, into)
			require.ErrorIs(t, err, result.InvalidQuery, "%s", given)
			require.Equal(t, name, result.From(err).Field())
		}
		all[name] = value
	}
	given, err := json.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(given, into))
}
