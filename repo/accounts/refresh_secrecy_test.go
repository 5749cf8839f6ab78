package accounts_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// echoes are failures of a provider that sends back what it was given, and what it
// was to give.
func echoes() map[string]testprovider.Answer {
	given := strings.Join([]string{secrets[0], secrets[1], secrets[14], secrets[15], secrets[16]}, " ")
	member := func(name string) string { return `{"` + name + `":"` + given + `"}` }
	return map[string]testprovider.Answer{
		"500": testprovider.Says(500, given), "502 in JSON": testprovider.Says(502, member("error")), "429": testprovider.Says(429, given, "Retry-After", given),
		"garbage": testprovider.Says(200, given), "half": testprovider.Says(200, `{"access_token":"`+secrets[14]+`","refresh_token":`),
		"no token": testprovider.Says(200, member("refresh_token")), "wrong type": testprovider.Says(200, `{"access_token":["`+given+`"]}`),
		"control character": testprovider.Says(200, `{"access_token":"`+secrets[14]+`\n","refresh_token":"`+secrets[15]+`"}`),
		"bad lifetime":      testprovider.Says(200, `{"access_token":"`+secrets[14]+`","expires_in":"`+given+`"}`),
		"unknown error":     testprovider.Says(400, member("error")), "401": testprovider.Says(401, `{"error":"invalid_client","error_description":"`+given+`"}`),
		"a word":         testprovider.Says(400, `{"error":"`+secrets[17]+`"}`),
		"redirect":       testprovider.Says(307, given, "Location", "http://127.0.0.1:1/"+secrets[1]+"?token="+secrets[15]),
		"bad redirect":   testprovider.Says(302, given, "Location", "://"+secrets[1]),
		"strange header": testprovider.Says(500, "", "X-Token", secrets[15], "WWW-Authenticate", secrets[1]),
		"cut":            testprovider.RotatesAndCuts,
	}
}

// refreshes lets tokens be refreshed: with each failure, through a proxy that is
// not there, with a cancelled context, and at last well. What a success marshals to
// has the access token, and only prints and logs of it are shown.
func (b *bundle) refreshes(p *testprovider.Provider, show, public func(any)) {
	b.Helper()
	authorised := func(change func(*accounts.AccountData)) string {
		data := secretData(accounts.Claude)
		data.OAuthData.ExpiresAt = time.Now().Add(-time.Minute)
		change(&data)
		return b.create(data)
	}
	fails := func(ctx context.Context, id, what string) {
		a := b.accs.RefreshOAuthToken(ctx, id)
		require.Error(b, a.Err(), what)
		public(a)
		public(b.accs.RefreshOAuthToken(ctx, id)) // the outcome, told again
		public(b.accs.GetAccount(b.ctx(), id))
	}
	fails(b.ctx(), authorised(func(d *accounts.AccountData) { d.ProxyConfig.Host, d.ProxyConfig.Port = "127.0.0.1", 1 }), "proxy")
	direct := func(d *accounts.AccountData) { d.ProxyConfig = nil }
	for what, answer := range echoes() {
		p.Answer(answer)
		fails(b.ctx(), authorised(direct), what)
	}
	cancelled, cancel := context.WithCancel(b.ctx())
	cancel()
	fails(cancelled, authorised(direct), "cancelled")

	id := authorised(direct)
	p.Answer(testprovider.Says(400, `{"error":"invalid_grant","error_description":"`+secrets[1]+`"}`))
	fails(b.ctx(), id, "invalid_grant")
	require.Equal(b, accounts.InError, b.get(id).Status)

	id = authorised(direct)
	p.Answer(testprovider.Says(200, `{"access_token":"`+secrets[14]+`","refresh_token":"`+secrets[15]+`","expires_in":3600}`))
	for range 2 {
		a := b.accs.RefreshOAuthToken(b.ctx(), id)
		require.NoError(b, a.Err())
		show(a)
	}
	c := b.credentials(id)
	require.Equal(b, secrets[14], c.AccessToken)
	require.Equal(b, secrets[15], c.RefreshToken)
	show(c)
	public(b.accs.GetAccount(b.ctx(), id))
	show(b.cfg.OAuth)
}

// Whatever happens to a refresh, tokens are in the answer's JSON and nowhere else.
func TestNoTokenLeavesByARefresh(t *testing.T) {
	l := &written{}
	r := setupRefresh(t, l.traced(t))
	var shown strings.Builder
	show := func(v any) { show(&shown, v) }
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
	contain(&shown, accounts.RefreshRequest{RefreshToken: r.refresh})
	contain(&shown, accounts.Tokens{AccessToken: r.access})
	contain(&shown, accounts.Refreshed{AccessToken: r.access})
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
	doc, err := json.Marshal(result.OK(accounts.Refreshed{AccessToken: r.access}))
	require.NoError(t, err)
	require.Contains(t, string(doc), r.access)
}
