package apikeys_test

import (
	"encoding/json"
	"reflect"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

func patch(t testing.TB, doc string) apikeys.Patch {
	t.Helper()
	var p apikeys.Patch
	require.NoError(t, json.Unmarshal([]byte(doc), &p))
	return p
}

func TestUpdateKeepsWhatIsAbsent(t *testing.T) {
	b := setup(t)
	k := b.create(full())
	before := b.get(k.ID)
	after, err := b.keys.UpdateAPIKey(b.ctx(), k.ID, patch(t, `{"description":"new"}`)).Get()
	require.NoError(t, err)
	require.True(t, after.UpdatedAt.After(before.UpdatedAt))
	want := before
	want.Description, want.UpdatedAt = "new", after.UpdatedAt
	require.JSONEq(t, marshal(t, want), marshal(t, after))
	require.JSONEq(t, marshal(t, want), marshal(t, b.get(k.ID)))
}

// Every field of Patch replaces and clears the field of the same JSON name.
func TestUpdateEachField(t *testing.T) {
	b := setup(t)
	source := full()
	values := map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal([]byte(marshal(t, source)), &values))
	delete(values, "id")
	k := b.create(apikeys.KeyData{Name: "bare"})
	bare := b.get(k.ID)
	for name, value := range values {
		got := b.change(k.ID, name, string(value))
		require.JSONEq(t, string(value), string(got[name]), name)
		if name == "name" {
			continue // cannot be cleared
		}
		cleared := b.change(k.ID, name, "null")
		wantCleared := map[string]json.RawMessage{}
		require.NoError(t, json.Unmarshal([]byte(marshal(t, bare)), &wantCleared))
		require.Equal(t, string(wantCleared[name]), string(cleared[name]), name)
	}
	require.Equal(t, reflect.TypeFor[apikeys.Patch]().NumField(), len(values)+1, "isActive is the one more")
}

func (b *bundle) change(id, name, value string) map[string]json.RawMessage {
	b.Helper()
	k, err := b.keys.UpdateAPIKey(b.ctx(), id, patch(b, `{"`+name+`":`+value+`}`)).Get()
	require.NoError(b, err, name)
	got := map[string]json.RawMessage{}
	require.NoError(b, json.Unmarshal([]byte(marshal(b, k)), &got))
	return got
}

func TestUpdateRefusesByName(t *testing.T) {
	b := setup(t)
	k := b.create(full())
	before := marshal(t, b.get(k.ID))
	for field, doc := range map[string]string{
		"id":          `{"id":"x"}`,
		"hashedKey":   `{"hashedKey":"x"}`,
		"createdAt":   `{"createdAt":"2025-01-01T00:00:00Z"}`,
		"nonsense":    `{"nonsense":1}`,
		"isactive":    `{"isactive":false}`,
		"tags":        `{"tags":"a"}`,
		"description": `{"description":"a","description":"b"}`,
	} {
		var p apikeys.Patch
		requireField(t, json.Unmarshal([]byte(doc), &p), result.InvalidQuery, field)
	}
	for field, doc := range map[string]string{
		"name":           `{"name":null}`,
		"isActive":       `{"isActive":null}`,
		"permissions":    `{"permissions":"root"}`,
		"dailyCostLimit": `{"dailyCostLimit":-1,"description":"not written"}`,
		"extra":          `{"extra":"\u0000"}`,
		"weeklyResetDay": `{"weeklyResetDay":9}`,
	} {
		requireField(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, patch(t, doc)).Err(), result.InvalidQuery, field)
	}
	require.JSONEq(t, before, marshal(t, b.get(k.ID)))
}

func TestConcurrentUpdatesOfDifferentFieldsSurvive(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{})
	for round := range 20 {
		limit := int64(round + 1)
		patches := []apikeys.Patch{
			{TokenLimit: result.Set(limit)}, {ConcurrencyLimit: result.Set(limit)},
			{RateLimitWindow: result.Set(limit)}, {RateLimitRequests: result.Set(limit)},
		}
		var group sync.WaitGroup
		errs := make([]error, len(patches))
		for i, p := range patches {
			group.Go(func() { errs[i] = b.keys.UpdateAPIKey(b.ctx(), k.ID, p).Err() })
		}
		group.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		got := b.get(k.ID)
		require.Equal(t, []int64{limit, limit, limit, limit}, []int64{got.TokenLimit, got.ConcurrencyLimit, got.RateLimitWindow, got.RateLimitRequests})
	}
}

func TestDeleteIsSoft(t *testing.T) {
	b := setup(t)
	k := b.create(apikeys.KeyData{Name: "gone"})
	require.NoError(t, b.keys.RecordAPIKeyUsage(b.ctx(), k.ID, apikeys.UsageData{Model: "m", InputTokens: 1, OutputTokens: 2, Cost: result.MustMoney("0.5"), RequestCount: 1}).Err())
	require.NoError(t, b.keys.DeleteAPIKey(b.ctx(), k.ID).Err())
	require.ErrorIs(t, b.keys.GetAPIKey(b.ctx(), k.ID).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.keys.DeleteAPIKey(b.ctx(), k.ID).Err(), result.RecordNotFound)
	require.ErrorIs(t, b.keys.UpdateAPIKey(b.ctx(), k.ID, apikeys.Patch{IsActive: result.Set(true)}).Err(), result.RecordNotFound)
	p, err := b.keys.GetAllAPIKeys(b.ctx(), apikeys.Filters{}).Get()
	require.NoError(t, err)
	require.Zero(t, p.Total)

	require.NoError(t, b.keys.RecordAPIKeyUsage(b.ctx(), k.ID, apikeys.UsageData{Model: "m", RequestCount: 1}).Err(), "its last requests are in flight")
	now := b.get2000(usage.ByAPIKey)
	require.EqualValues(t, 2, now.Summary.TotalRequests)
	for _, bucket := range now.Stats {
		for id, f := range bucket.APIKeys {
			require.Equal(t, k.ID, id)
			require.Equal(t, "gone", f.Name, "reports keep the name")
		}
	}
}
