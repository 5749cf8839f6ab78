package apikeys_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func (s *shared) switchTo(p strategy.Primary) error {
	c := strategy.DefaultOn(p, strategy.APIKey)
	if p == strategy.PrimaryPostgres {
		c = strategy.Default(strategy.APIKey, false)
	}
	return s.Storage.SwitchStorageStrategy(s.ctx(), strategy.APIKey, c).Err()
}

func (s *shared) mustSwitch(p strategy.Primary) {
	s.Helper()
	require.NoError(s, s.switchTo(p))
}

// shown is all that the keys show.
func (s *shared) shown() map[string]string {
	s.Helper()
	page, err := s.keys.GetAllAPIKeys(s.ctx(), apikeys.Filters{Limit: 1000}).Get()
	require.NoError(s, err)
	all := make(map[string]string)
	for _, k := range page.Keys {
		var extra map[string]any // whose members have no order
		if len(k.Extra) > 0 {
			require.NoError(s, json.Unmarshal(k.Extra, &extra))
		}
		k.Extra = nil
		all[k.ID] = string(jsonOf(s, k)) + fmt.Sprint(extra)
	}
	return all
}

// drawKey gives a key with some of all settings.
func drawKey(draw *rand.Rand) apikeys.KeyData {
	d := full()
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Name" && draw.IntN(2) == 0 {
			v.Field(i).SetZero()
		}
	}
	hash := make([]byte, 32)
	for i := range hash {
		hash[i] = byte(draw.Uint32())
	}
	d.ID, d.HashedKey, d.HashScheme = uuid.NewString(), "", ""
	if n := draw.IntN(4); n < 2 {
		d.HashedKey, d.HashScheme = hex.EncodeToString(hash), []string{apikeys.HashLegacy, apikeys.HashSHA256}[n]
	}
	return d
}

// Keys in drawn states go to Redis and back, and nothing is lost or comes back: neither
// of what either side has left.
func TestMove(t *testing.T) {
	s := onRedis(t)
	s.indexed()
	require.NoError(t, s.keys.Close(s.ctx()), "from now on it stores no uses by itself")
	only := s.create(apikeys.KeyData{Name: "only in Redis", Tags: []string{"gone"}})
	s.mustSwitch(strategy.PrimaryPostgres)
	require.Contains(t, s.shown(), only.ID)
	_, err := s.pool.Exec(s.ctx(), "DELETE FROM api_keys")
	require.NoError(t, err)

	draw := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) //nolint:gosec // a test's draw
	first := full()
	first.ID, first.HashedKey, first.HashScheme, first.ExpirationMode, first.ExpiresAt = uuid.NewString(), "", "", "activation", time.Time{}
	plaintexts := map[string]string{first.ID: s.create(first).APIKey}
	require.NoError(t, s.keys.ValidatePlaintext(s.ctx(), plaintexts[first.ID]).Err(), "it is activated")
	ids, used := []string{first.ID}, map[uuid.UUID]time.Time{uuid.MustParse(first.ID): time.Now().Add(-time.Hour)}
	for i := range 230 { // more than two pages
		d := drawKey(draw)
		created := s.create(d)
		if ids = append(ids, d.ID); created.APIKey != "" {
			plaintexts[d.ID] = created.APIKey
		}
		if i%3 == 0 {
			used[uuid.MustParse(d.ID)] = time.Now().Add(-time.Duration(i) * time.Hour)
		}
		if i%5 == 0 {
			s.update(d.ID, apikeys.Patch{IsActive: result.Set(i%2 == 0), Description: result.Set(strconv.Itoa(i))})
		}
	}
	require.NoError(t, s.keys.StoreLastUsed(s.ctx(), used))
	deleted := ids[100:110]
	for _, id := range deleted {
		require.NoError(t, s.keys.DeleteAPIKey(s.ctx(), id).Err())
	}
	want := s.shown()
	require.Len(t, want, 221)

	round := func(to strategy.Primary) {
		t.Helper()
		s.mustSwitch(to)
		got := s.shown()
		require.Equal(t, want, got)
		for id, plaintext := range plaintexts {
			_, is := want[id]
			v, err := s.keys.ValidatePlaintext(s.ctx(), plaintext).Get()
			if !is {
				require.ErrorIs(t, err, result.RecordNotFound)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, id, v.ID)
		}
		require.ErrorIs(t, s.keys.ValidatePlaintext(s.ctx(), only.APIKey).Err(), result.RecordNotFound)
	}
	round(strategy.PrimaryRedis)
	fields := s.hash("apikey:" + deleted[0])
	require.Equal(t, []string{"true", "false", "system"}, []string{fields["isDeleted"], fields["isActive"], fields["deletedBy"]})
	require.NotContains(t, s.members("apikey:set:active"), only.ID)
	require.Contains(t, s.members("apikey:set:deleted"), deleted[0])
	require.Equal(t, used[uuid.MustParse(first.ID)].UnixMilli(), s.scores("apikey:idx:lastUsedAt")[first.ID])

	s.update(first.ID, apikeys.Patch{Name: result.Set("changed on Redis"), Tags: result.Set([]string{"new"})})
	s.do("HSET", "apikey:"+first.ID, "future", "of the service")
	require.NoError(t, s.keys.StoreLastUsed(s.ctx(), map[uuid.UUID]time.Time{uuid.MustParse(ids[1]): time.Now()}))
	s.do("HSET", "apikey:"+ids[1], "lastUsedAt", used[uuid.MustParse(ids[1])].Add(time.Second).UTC().Format("2006-01-02T15:04:05.000Z"))
	s.do("DEL", "apikey:"+ids[2]) // it has expired
	delete(plaintexts, ids[2])
	// The hash of one that is deleted goes to another one, whose id comes first.
	heir := apikeys.KeyData{ID: "00000000-0000-4000-8000-000000000001", Name: "heir", HashedKey: s.create(apikeys.KeyData{ID: ids[3][:24] + "ffffffffffff"}).HashedKey}
	s.mustSwitch(strategy.PrimaryPostgres)
	s.mustSwitch(strategy.PrimaryRedis)
	require.NoError(t, s.keys.DeleteAPIKey(s.ctx(), ids[3][:24]+"ffffffffffff").Err())
	s.create(heir)
	want = s.shown()
	round(strategy.PrimaryPostgres)
	require.Contains(t, want[first.ID], "future")
	require.NotContains(t, want, ids[2])
	require.True(t, s.active(heir.HashedKey))
	var names []string
	require.NoError(t, s.pool.QueryRow(s.ctx(), "SELECT array_agg(name) FROM api_keys WHERE deleted_at IS NOT NULL AND id = ANY ($1)", append(slices.Clone(deleted), ids[2])).Scan(&names))
	require.Len(t, names, 11, "reports know them")
	round(strategy.PrimaryRedis)
}

// A copy that differs in anything is told.
func TestMoveCompares(t *testing.T) {
	s := onRedis(t)
	d := full()
	d.ID, d.HashedKey, d.HashScheme = uuid.NewString(), "", ""
	s.create(d)
	id := d.ID
	s.mustSwitch(strategy.PrimaryPostgres)
	s.mustSwitch(strategy.PrimaryRedis)
	differ := func() int64 {
		n, err := s.keys.Mover().Compare(s.ctx(), strategy.Move{Postgres: s.Storage.Switches.Primary, Redis: s.Storage.Switches.Redis})
		require.NoError(t, err)
		return n
	}
	require.Zero(t, differ())
	for field, text := range s.hash("apikey:" + id) {
		if slices.Contains([]string{"id", "relaystoreCreatedAt"}, field) {
			continue
		}
		other := map[string]string{"true": "false", "false": "true", "fixed": "activation", "activation": "fixed", "days": "hours", "hours": "days"}[text]
		switch {
		case other != "":
		case strings.HasPrefix(text, "["):
			other = `["claude","x"]`
		case strings.HasPrefix(text, "{"):
			other = `{"claude":3}`
		case strings.HasSuffix(text, "Z"), field == "lastUsedAt":
			other = "2026-01-02T03:04:05.678Z"
		case field == "apiKey":
			other = strings.Repeat("a", 64)
		case field == "relaystoreHash":
			other = strings.Repeat("b", 64) + text[64:]
		default:
			other = "7"
		}
		if other == text || field == "isActivated" || field == "activatedAt" || field == "createdAt" {
			continue // by the service's rules, they say the same of a key that is fixed
		}
		s.do("HSET", "apikey:"+id, field, other)
		require.EqualValues(t, 1, differ(), "%s %s %s", field, text, other)
		s.do("HSET", "apikey:"+id, field, text)
	}
	require.Zero(t, differ())
	s.do("RENAME", "apikey:"+id, "apikey:"+uuid.NewString())
	require.EqualValues(t, 2, differ())
}

// What PostgreSQL cannot hold is named, and Redis stays the primary.
func TestMoveRefuses(t *testing.T) {
	s := onRedis(t)
	id := s.create(apikeys.KeyData{}).ID
	s.do("HSET", "apikey:"+id, "name", strings.Repeat("n", 256))
	err := s.switchTo(strategy.PrimaryPostgres)
	requireField(t, err, result.InvalidQuery, "name")
	require.Equal(t, id, result.From(err).Details["keyId"])
	s.update(id, apikeys.Patch{Name: result.Set("n")})
	s.mustSwitch(strategy.PrimaryPostgres)
	require.Equal(t, "n", s.get(id).Name)
}
