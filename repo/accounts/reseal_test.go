package accounts_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/seed14a526e0/relaystore/internal/seal"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// rotated gives the two steps of a rotation: with one more key, and with that key
// sealing.
func rotated(t *testing.T, h *keyset.Handle) (added, promoted *keyset.Handle) {
	t.Helper()
	m := keyset.NewManagerFromHandle(h)
	id, err := seal.AddKey(m)
	require.NoError(t, err)
	added, err = m.Handle()
	require.NoError(t, err)
	require.NoError(t, m.SetPrimary(id))
	promoted, err = m.Handle()
	require.NoError(t, err)
	return added, promoted
}

// without gives a keyset of its primary alone.
func without(t *testing.T, h *keyset.Handle) *keyset.Handle {
	t.Helper()
	m := keyset.NewManagerFromHandle(h)
	for _, k := range seal.Keys(h) {
		if !k.Primary {
			require.NoError(t, m.Delete(k.ID))
		}
	}
	alone, err := m.Handle()
	require.NoError(t, err)
	return alone
}

func (b *bundle) with(h *keyset.Handle) *repo.Client {
	b.Helper()
	cfg := b.cfg
	cfg.Keyset = h
	return testclient.Open(b.T, cfg)
}

func TestReseal(t *testing.T) {
	b := setup(t)
	var ids []string
	for range 250 { // more than two batches
		ids = append(ids, b.createClaude())
	}
	whole, gone := b.create(full(accounts.Droid)), b.createClaude()
	ids = append(ids, whole)
	require.NoError(t, b.accs.DeleteAccount(b.ctx(), gone).Err())
	b.create(accounts.AccountData{Platform: accounts.CCR, Name: "no secrets"})
	before := b.credentials(whole)

	_, promoted := rotated(t, b.cfg.Keyset)
	c := b.with(promoted)
	var last, of int
	rep, err := c.Accounts.Reseal(b.ctx(), func(done, all int) { last, of = done, all })
	require.NoError(t, err)
	want := accounts.Resealed{KeyID: primary(promoted), Accounts: 251, Unopened: []string{}}
	require.Equal(t, want, rep)
	require.Equal(t, []int{251, 251}, []int{last, of})

	alone := b.with(without(t, promoted))
	for _, id := range ids {
		require.NoError(t, alone.Accounts.GetCredentials(b.ctx(), id).Err(), "no older key is needed")
	}
	after, err := alone.Accounts.GetCredentials(b.ctx(), whole).Get()
	require.NoError(t, err)
	require.Equal(t, before, after)

	want.Accounts = 0
	rep, err = c.Accounts.Reseal(b.ctx(), nil)
	require.NoError(t, err)
	require.Equal(t, want, rep, "again is nothing")
}

func primary(h *keyset.Handle) uint32 {
	for _, k := range seal.Keys(h) {
		if k.Primary {
			return k.ID
		}
	}
	return 0
}

// One account that does not open hurts only itself.
func TestResealGoesPastWhatDoesNotOpen(t *testing.T) {
	b := setup(t, uncached)
	one, two := b.createClaude(), b.createClaude()
	b.exec("UPDATE accounts SET access_token = 'abc' WHERE id = $1", one)
	_, promoted := rotated(t, b.cfg.Keyset)
	rep, err := b.with(promoted).Accounts.Reseal(b.ctx(), nil)
	require.NoError(t, err)
	require.Equal(t, accounts.Resealed{KeyID: primary(promoted), Accounts: 1, Remaining: 1, Unopened: []string{one}}, rep)
	require.NoError(t, b.with(without(t, promoted)).Accounts.GetCredentials(b.ctx(), two).Err())

	c := testclient.Open(t, func() repo.Config { cfg := b.cfg; noKeyset(&cfg); return cfg }())
	_, err = c.Accounts.Reseal(b.ctx(), nil)
	requireField(t, err, result.InvalidQuery, "RELAYSTORE_KEYSET")
}

// Gateways go on writing, with the older primary, while secrets are sealed anew:
// none of their writes is lost.
func TestResealBesideWriters(t *testing.T) {
	b := setup(t)
	added, promoted := rotated(t, b.cfg.Keyset)
	gateway, resealer := b.with(added), b.with(promoted)
	ids := make([]string, 8)
	for i := range ids {
		ids[i] = b.createClaude()
	}
	ctx, stop := context.WithCancel(b.ctx())
	var group sync.WaitGroup
	written := make([]string, len(ids))
	for i, id := range ids {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprint(i, "-", n)
				if err := gateway.Accounts.SetCredentials(b.ctx(), id, accounts.CredentialsPatch{APIKey: result.Set(key)}).Err(); err == nil {
					written[i] = key
				}
			}
		})
	}
	for range 30 {
		_, err := resealer.Accounts.Reseal(b.ctx(), nil)
		require.NoError(t, err)
	}
	stop()
	group.Wait()
	rep, err := resealer.Accounts.Reseal(b.ctx(), nil)
	require.NoError(t, err)
	require.Zero(t, rep.Remaining)
	alone := b.with(without(t, promoted))
	for i, id := range ids {
		c, err := alone.Accounts.GetCredentials(b.ctx(), id).Get()
		require.NoError(t, err)
		require.Equal(t, written[i], c.APIKey)
	}
}

// A cancelled reseal leaves each account whole, under the one key or the other.
func TestResealIsCancelled(t *testing.T) {
	b := setup(t, uncached)
	for range 150 {
		b.createClaude()
	}
	_, promoted := rotated(t, b.cfg.Keyset)
	c := b.with(promoted)
	ctx, cancel := context.WithCancel(b.ctx())
	rep, err := c.Accounts.Reseal(ctx, func(int, int) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 100, rep.Accounts)
	rows, err := b.pool.Query(b.ctx(), "SELECT id FROM accounts")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id uuid.UUID
		require.NoError(t, rows.Scan(&id))
		require.NoError(t, c.Accounts.GetCredentials(b.ctx(), id.String()).Err())
	}
	rep, err = c.Accounts.Reseal(b.ctx(), nil)
	require.NoError(t, err)
	require.Equal(t, []int{50, 0}, []int{rep.Accounts, rep.Remaining})
}
