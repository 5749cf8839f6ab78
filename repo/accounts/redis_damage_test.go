package accounts_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testprovider"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// A set that is something else stops what would change it, before anything is written.
func TestRedisDamagedSets(t *testing.T) {
	b := setup(t, onRedis(t))
	s := b.service()
	data := accounts.AccountData{Platform: accounts.CCR, Name: "n"}
	b.create(data)
	id := b.create(data)
	groups := "account_groups_reverse:claude:" + id
	s.do("SADD", groups, "g")
	s.do("SADD", "account_group_members:g", id, "another")
	creates := []string{"ccr_account:index", "shared_ccr_accounts"}
	for i, set := range append(creates, groups, "account_group_members:g") {
		s.do("RENAME", set, "kept")
		s.do("SET", set, "no set")
		before := s.dump()
		errs := []error{b.accs.DeleteAccount(b.ctx(), id).Err()}
		if i < len(creates) {
			errs = append(errs, b.accs.CreateAccount(b.ctx(), data).Err())
		}
		for _, err := range errs {
			require.ErrorIs(t, err, result.ConstraintViolation, set)
			require.Equal(t, set, result.From(err).Details["key"])
		}
		require.Equal(t, before, s.dump(), set)
		s.do("RENAME", "kept", set)
	}
	require.NoError(t, b.accs.DeleteAccount(b.ctx(), id).Err())
	require.Equal(t, []string{"another"}, s.set("account_group_members:g"))
	b.create(data)
}

// A lock that is something else by the end of a refresh leaves the account as it was.
func TestRedisDamagedLock(t *testing.T) {
	r := setupRefresh(t, onRedis(t))
	s := r.service()
	until := make(chan struct{})
	r.p.Answer(testprovider.Waits(until, testprovider.Says(400, `{"error":"invalid_grant"}`)))
	done := make(chan error, 1)
	go func() { done <- r.accs.RefreshOAuthToken(r.ctx(), r.id).Err() }()
	r.called(1)
	s.do("DEL", r.lockKey())
	s.do("HSET", r.lockKey(), "no", "lock")
	before := s.dump()
	close(until)
	require.Error(t, <-done)
	require.Equal(t, before, s.dump())
	require.Contains(t, r.log.String(), "could not be stored")
}
