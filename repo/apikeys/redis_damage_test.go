package apikeys_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// An index that is something else stops what would change it, before anything is
// written: a key is whole or untouched.
func TestRedisDamagedIndexes(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	require.NoError(t, s.keys.Close(s.ctx()), "from now on it stores no uses by itself")
	require.NoError(t, s.keys.DeleteAPIKey(t.Context(), s.create(apikeys.KeyData{Tags: []string{"new"}}).ID).Err())
	s.create(apikeys.KeyData{Tags: []string{"new"}})
	k := s.create(apikeys.KeyData{Tags: []string{"old"}})
	calls := map[string]func() error{
		"create": func() error {
			return s.keys.CreateAPIKey(t.Context(), apikeys.KeyData{Name: "n", Tags: []string{"old"}}).Err()
		},
		"update": func() error {
			return s.keys.UpdateAPIKey(t.Context(), k.ID, apikeys.Patch{Name: result.Set("n"), Tags: result.Set([]string{"new"})}).Err()
		},
		"delete": func() error { return s.keys.DeleteAPIKey(t.Context(), k.ID).Err() },
		"use": func() error {
			return s.keys.StoreLastUsed(t.Context(), map[uuid.UUID]time.Time{uuid.MustParse(k.ID): time.Now()})
		},
	}
	all := []string{"create", "update", "delete"}
	for index, stopped := range map[string][]string{
		"apikey:hash_map": all, "apikey:idx:createdAt": all, "apikey:idx:lastUsedAt": append(all, "use"), "apikey:idx:name": all, "apikey:idx:all": all,
		"apikey:set:active": all, "apikey:set:deleted": all, "apikey:tags:all": all, "apikey:tag:old": all, "apikey:tag:new": {"update"},
	} {
		s.do("RENAME", index, "kept")
		s.do("SET", index, "no index")
		before := s.dump()
		for _, name := range stopped {
			err := calls[name]()
			require.ErrorIs(t, err, result.ConstraintViolation, "%s %s", index, name)
			require.Equal(t, index, result.From(err).Details["key"], name)
			require.Equal(t, before, s.dump(), "%s %s", index, name)
		}
		s.do("RENAME", "kept", index)
	}
	for _, name := range append(all[:2:2], "use", "delete") {
		require.NoError(t, calls[name](), name)
	}
}
