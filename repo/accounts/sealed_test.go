package accounts_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// A ciphertext that somebody moves to another row or column does not open.
func TestASealIsBoundToItsPlace(t *testing.T) {
	b := setup(t, uncached)
	one, two := b.createClaude(), b.createClaude()
	fails := func(column string) {
		t.Helper()
		for _, id := range []string{one, two} {
			err := b.accs.GetCredentials(b.ctx(), id).Err()
			if id == one {
				require.ErrorIs(t, err, result.Internal)
				require.Equal(t, column, result.From(err).Details["column"])
				continue
			}
			require.NoError(t, err, "the other account goes on")
		}
		require.NoError(t, b.accs.GetAccount(b.ctx(), one).Err(), "its other reads go on")
	}
	b.exec("UPDATE accounts SET access_token = (SELECT access_token FROM accounts WHERE id = $2) WHERE id = $1", one, two)
	fails("access_token")
	b.exec("UPDATE accounts SET access_token = NULL, refresh_token = (SELECT refresh_token FROM accounts WHERE id = $2) WHERE id = $1", one, two)
	fails("refresh_token")
	b.exec("UPDATE accounts SET refresh_token = proxy_password WHERE id = $1", one)
	fails("refresh_token")
	b.exec("UPDATE accounts SET refresh_token = NULL, api_key = set_byte(proxy_password, 30, get_byte(proxy_password, 30) # 1) WHERE id = $1", one)
	fails("api_key")
	b.exec("UPDATE accounts SET api_key = NULL WHERE id = $1", one)
	require.Equal(t, "proxy-password", b.credentials(one).ProxyConfig.Password)
}

func TestWithoutAKeyset(t *testing.T) {
	b := setup(t)
	sealedBefore := b.createClaude()
	bare := noKeyset
	cfg := b.cfg
	bare(&cfg)
	c := testclient.Open(t, cfg)

	requireField(t, c.Accounts.CreateClaudeAccount(b.ctx(), claude()).Err(), result.InvalidQuery, "RELAYSTORE_KEYSET")
	require.Equal(t, 1, b.count("SELECT count(*) FROM accounts"))
	requireField(t, c.Accounts.SetCredentials(b.ctx(), sealedBefore, accounts.CredentialsPatch{APIKey: result.Set("k")}).Err(), result.InvalidQuery, "RELAYSTORE_KEYSET")
	requireField(t, c.Accounts.GetCredentials(b.ctx(), sealedBefore).Err(), result.InvalidQuery, "RELAYSTORE_KEYSET")
	require.NoError(t, c.Accounts.GetClaudeAccount(b.ctx(), sealedBefore).Err())
	open, err := c.Accounts.CreateAccount(b.ctx(), accounts.AccountData{Platform: accounts.CCR, Name: "no secrets"}).Get()
	require.NoError(t, err)
	require.NoError(t, c.Accounts.GetCredentials(b.ctx(), open.ID).Err())
}

func TestAnotherKeysetOpensNothing(t *testing.T) {
	b := setup(t)
	id := b.createClaude()
	cfg := b.cfg
	var err error
	cfg.Keyset, err = seal.Generate()
	require.NoError(t, err)
	err = testclient.Open(t, cfg).Accounts.GetCredentials(b.ctx(), id).Err()
	require.ErrorIs(t, err, result.Internal)
	require.Contains(t, err.Error(), "sealed by a key that the keyset lacks")
	require.NotZero(t, result.From(err).Details["keyId"])
}
