package accounts_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
)

// Whatever happens to a refresh, tokens are in the answer's JSON and nowhere else.
func TestNoTokenLeavesByARefresh(t *testing.T) {
	l := &written{}
	r := setupRefresh(t, l.traced(t))
	var shown strings.Builder
	show := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			_, _ = fmt.Fprintf(&shown, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "v", v)
	}
	known := []string{r.access, r.refresh}
	for _, a := range []testprovider.Answer{
		testprovider.Rotates,
		testprovider.Says(500, r.refresh), testprovider.Says(429, r.refresh, "Retry-After", r.refresh), testprovider.Says(200, r.refresh),
		testprovider.Says(400, `{"error":"`+r.refresh+`"}`), testprovider.RotatesAndCuts, testprovider.Rotates,
	} {
		r.expire()
		r.p.Answer(a)
		answer := r.accs.RefreshOAuthToken(r.ctx(), r.id)
		show(answer)
		show(answer.Err())
		if answer.Err() != nil {
			shown.WriteString(marshal(t, answer))
		}
		c := r.credentials(r.id)
		known = append(known, c.AccessToken, c.RefreshToken)
	}
	require.Equal(t, accounts.InError, r.get(r.id).Status)
	show(accounts.RefreshRequest{RefreshToken: r.refresh})
	show(accounts.Tokens{AccessToken: r.access})
	show(accounts.Refreshed{AccessToken: r.access})
	show(r.cfg.OAuth)
	postgres, redis := r.dump()
	for where, text := range map[string]string{"answers": shown.String(), "logs": l.text(), "PostgreSQL": postgres, "Redis": redis} {
		require.NotContains(t, text, "sk-", where)
		for _, token := range known {
			for _, form := range forms(token) {
				require.NotContains(t, text, form, where)
			}
		}
	}
	require.Contains(t, l.text(), "UPDATE account_refreshes")
	doc, err := json.Marshal(accounts.Refreshed{AccessToken: r.access})
	require.NoError(t, err)
	require.Contains(t, string(doc), r.access)
}
