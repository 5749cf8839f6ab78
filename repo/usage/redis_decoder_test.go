package usage

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The decoder reads the legacy layout by its description alone (section 1.2, 1.3 and "what
// a write touches"), and shares nothing with what is under test.

type legacyValue struct {
	kind string
	ttl  time.Duration // below 0 without
	hash map[string]string
	text string
	list []string
}

type legacyDump map[string]legacyValue

// legacySums are what records must have made of each counter: the fields of hashes, and
// amounts in 10⁻¹² dollars.
type legacySums struct {
	hashes  map[string]map[string]int64
	amounts map[string]*big.Int
	ttls    map[string]time.Duration
	sets    map[string]map[string]bool
}

const dayOf = 24 * time.Hour

func newLegacySums() *legacySums {
	return &legacySums{map[string]map[string]int64{}, map[string]*big.Int{}, map[string]time.Duration{}, map[string]map[string]bool{}}
}

func (s *legacySums) hash(key string, ttl time.Duration, fields map[string]int64) {
	if s.hashes[key] == nil {
		s.hashes[key] = map[string]int64{}
	}
	for f, n := range fields {
		s.hashes[key][f] += n
	}
	s.ttls[key] = ttl
}

func (s *legacySums) amount(key string, ttl time.Duration, pico *big.Int) {
	if s.amounts[key] == nil {
		s.amounts[key] = new(big.Int)
	}
	s.amounts[key].Add(s.amounts[key], pico)
	s.ttls[key] = ttl
}

func (s *legacySums) member(key, member string, ttl time.Duration) {
	if s.sets[key] == nil {
		s.sets[key] = map[string]bool{}
	}
	s.sets[key][member] = true
	s.ttls[key] = ttl
}

// legacyModels are the generator's models as the service counts them.
var legacyModels = map[string]string{
	"claude-sonnet-4": "claude-sonnet-4", "gpt-5": "gpt-5", "gemini-2.0-flash-exp:free": "gemini-2.0-flash-exp:free", "m": "m",
	"us.anthropic.claude-sonnet-4-20250514-v1:0": "claude-sonnet-4-20250514", "claude-sonnet-4[1m]": "claude-sonnet-4[1m]",
	"llama3:latest": "llama3", "eu.anthropic.claude-opus-4-v2:1": "claude-opus-4", "gpt-5-v1:0": "gpt-5",
}

func merged(sets ...map[string]int64) map[string]int64 {
	out := map[string]int64{}
	for _, s := range sets {
		for f, n := range s {
			out[f] = n
		}
	}
	return out
}

// record adds what one record must have done, at an offset in hours.
func (s *legacySums) record(r Record, offset int) {
	local := r.Timestamp.UTC().Add(time.Duration(offset) * time.Hour)
	d, m, h := local.Format("2006-01-02"), local.Format("2006-01"), local.Format("2006-01-02:15")
	k, a, model := r.APIKeyID, r.AccountID, legacyModels[r.Model]
	core := r.InputTokens + r.OutputTokens
	noAll := map[string]int64{
		"inputTokens": r.InputTokens, "outputTokens": r.OutputTokens, "cacheCreateTokens": r.CacheCreationTokens, "cacheReadTokens": r.CacheReadTokens,
		"requests": r.RequestCount, "ephemeral5mTokens": 0, "ephemeral1hTokens": 0,
	}
	all := merged(noAll, map[string]int64{"allTokens": r.TotalTokens})
	bucket := merged(all, map[string]int64{"tokens": core})
	totals, long := map[string]int64{"totalTokens": core}, map[string]int64{}
	if strings.Contains(r.Model, "[1m]") && r.InputTokens+r.CacheCreationTokens+r.CacheReadTokens > 200000 {
		long = map[string]int64{"longContextInputTokens": r.InputTokens, "longContextOutputTokens": r.OutputTokens, "longContextRequests": r.RequestCount}
	}
	for f, n := range merged(all, long) {
		totals["total"+strings.ToUpper(f[:1])+f[1:]] = n
	}
	pico := r.Cost.Decimal().Shift(12).BigInt()
	priced := map[string]int64{}
	if pico.Sign() > 0 {
		micro := new(big.Int).Div(new(big.Int).Add(pico, big.NewInt(500_000)), big.NewInt(1_000_000)).Int64()
		priced = map[string]int64{"realCostMicro": micro, "ratedCostMicro": micro}
	}
	days, months, hours := 32*dayOf, 365*dayOf, 7*dayOf
	s.hash("usage:"+k, -1, totals)
	s.hash("usage:daily:"+k+":"+d, days, merged(bucket, long))
	s.hash("usage:monthly:"+k+":"+m, months, bucket)
	s.hash("usage:hourly:"+k+":"+h, hours, bucket)
	s.hash("usage:"+k+":model:alltime:"+model, -1, merged(noAll, priced))
	s.hash("usage:global:total", -1, all)
	s.hash("usage:global:daily:"+d, days, all)
	s.hash("usage:global:monthly:"+m, months, all)
	for _, b := range []struct {
		word, bucket string
		ttl          time.Duration
	}{{"daily", d, days}, {"monthly", m, months}, {"hourly", h, hours}} {
		s.hash("usage:model:"+b.word+":"+model+":"+b.bucket, b.ttl, all)
		s.hash("usage:"+k+":model:"+b.word+":"+model+":"+b.bucket, b.ttl, merged(all, priced))
		s.member("usage:model:"+b.word+":index:"+b.bucket, model, b.ttl)
		if b.word != "monthly" {
			s.member("usage:"+b.word+":index:"+b.bucket, k, b.ttl)
			s.member("usage:keymodel:"+b.word+":index:"+b.bucket, k+":"+model, b.ttl)
		}
	}
	s.member("usage:model:monthly:months", m, months)
	if a != "" {
		s.account(a, model, d, m, h, totals, all, bucket, long)
	}
	if pico.Sign() > 0 {
		s.costs(r, model, local, pico)
	}
}

func (s *legacySums) account(a, model, d, m, h string, totals, all, bucket, long map[string]int64) {
	days, months, hours := 32*dayOf, 365*dayOf, 7*dayOf
	ofModel := map[string]int64{}
	for f, n := range all {
		ofModel["model:"+model+":"+f] = n
	}
	s.hash("account_usage:"+a, -1, totals)
	s.hash("account_usage:daily:"+a+":"+d, days, merged(bucket, long))
	s.hash("account_usage:monthly:"+a+":"+m, months, bucket)
	s.hash("account_usage:hourly:"+a+":"+h, hours, merged(bucket, ofModel))
	s.hash("account_usage:model:daily:"+a+":"+model+":"+d, days, all)
	s.hash("account_usage:model:monthly:"+a+":"+model+":"+m, months, all)
	s.hash("account_usage:model:hourly:"+a+":"+model+":"+h, hours, all)
	s.member("account_usage:daily:index:"+d, a, days)
	s.member("account_usage:hourly:index:"+h, a, hours)
	s.member("account_usage:model:daily:index:"+d, a+":"+model, days)
	s.member("account_usage:model:hourly:index:"+h, a+":"+model, hours)
}

func (s *legacySums) costs(r Record, model string, local time.Time, pico *big.Int) {
	k := r.APIKeyID
	s.amount("usage:cost:daily:"+k+":"+local.Format("2006-01-02"), 30*dayOf, pico)
	s.amount("usage:cost:monthly:"+k+":"+local.Format("2006-01"), 90*dayOf, pico)
	s.amount("usage:cost:hourly:"+k+":"+local.Format("2006-01-02:15"), 7*dayOf, pico)
	s.amount("usage:cost:total:"+k, -1, pico)
	s.amount("usage:cost:real:total:"+k, -1, pico)
	s.amount("usage:cost:real:daily:"+k+":"+local.Format("2006-01-02"), 30*dayOf, pico)
	if slices.Contains([]string{"claude-official", "claude-console", "ccr"}, r.AccountType) && strings.Contains(model, "claude") {
		monday := local.AddDate(0, 0, -(int(local.Weekday())+6)%7) // a key's week begins on Monday at 00 where it says nothing
		week := monday.Format("2006-01-02") + "T00"
		for _, family := range []string{"usage:opus:", "usage:opus:real:"} {
			s.amount(family+"weekly:"+k+":"+week, 14*dayOf, pico)
			s.amount(family+"total:"+k, -1, pico)
		}
	}
}

// requireSame compares a Redis with what records must have made: no counter lacks, none
// has more, and nothing else is there but the records themselves.
func (s *legacySums) requireSame(t require.TestingT, d legacyDump, records []Record) {
	listed := map[string]int{}
	for key, v := range d {
		if ttl, known := s.ttls[key]; known {
			require.LessOrEqual(t, v.ttl, max(ttl, -1), key)
			require.Equal(t, ttl > 0, v.ttl > ttl-time.Hour && v.ttl > 0, "%s has the TTL %s", key, v.ttl)
		}
		switch {
		case strings.HasPrefix(key, "apikey:"):
		case strings.HasPrefix(key, "usage:records:"):
			listed[strings.TrimPrefix(key, "usage:records:")] = len(v.list)
			requireListed(t, v, records)
		case key == "billing:events":
			requireEvents(t, v, records)
		case v.kind == "hash":
			got := map[string]int64{}
			for f, text := range v.hash {
				n, err := strconv.ParseInt(text, 10, 64)
				require.NoError(t, err, key)
				got[f] = n
			}
			require.Equal(t, s.hashes[key], got, key)
		case v.kind == "string":
			require.Contains(t, s.amounts, key)
			require.Zero(t, s.amounts[key].Cmp(picoOf(t, v.text)), "%s: %s, not %s", key, v.text, s.amounts[key])
		default:
			got := map[string]bool{}
			for _, m := range v.list {
				got[m] = true
			}
			require.Equal(t, s.sets[key], got, key)
		}
	}
	for key := range s.ttls {
		require.Contains(t, d, key)
	}
	for k, n := range listed {
		require.Len(t, recordsOf(records, k), n)
	}
}

func recordsOf(records []Record, key string) (of []Record) {
	for _, r := range records {
		if r.APIKeyID == key {
			of = append(of, r)
		}
	}
	return of[max(0, len(of)-200):]
}

// picoOf reads an amount: a float's text, whose noise lies behind the 12th decimal.
func picoOf(t require.TestingT, text string) *big.Int {
	f, ok := new(big.Rat).SetString(text)
	require.True(t, ok, text)
	f.Mul(f, new(big.Rat).SetInt64(1e12))
	n, ok := new(big.Int).SetString(f.FloatString(0), 10)
	require.True(t, ok)
	return n
}

// requireListed compares a list, newest first.
func requireListed(t require.TestingT, v legacyValue, records []Record) {
	require.Equal(t, "list", v.kind)
	require.LessOrEqual(t, v.ttl, 90*dayOf)
	require.Greater(t, v.ttl, 90*dayOf-time.Hour)
	want := map[string]int{}
	for _, r := range records {
		want[r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z")+" "+r.Model+" "+strconv.FormatInt(r.InputTokens, 10)]++
	}
	for _, text := range v.list {
		var in struct {
			Timestamp, Model string
			InputTokens      json.Number
			Cost, RealCost   *json.Number
			IsLongContext    *bool
			AccountID        *string
		}
		require.NoError(t, json.Unmarshal([]byte(text), &in))
		require.NotNil(t, in.Cost)
		require.NotNil(t, in.IsLongContext)
		require.Positive(t, want[in.Timestamp+" "+in.Model+" "+in.InputTokens.String()], text)
	}
}

// requireEvents sums the stream.
func requireEvents(t require.TestingT, v legacyValue, records []Record) {
	require.Len(t, v.list, len(records))
	sum, want := new(big.Int), new(big.Int)
	for i, text := range v.list {
		var in struct {
			EventType string
			APIKey    struct{ ID string }
			Cost      struct{ Total json.Number }
			Context   struct{ RequestTimestamp time.Time }
			Account   struct{ ID *string }
		}
		require.NoError(t, json.Unmarshal([]byte(text), &in))
		require.Equal(t, "usage.recorded", in.EventType)
		sum.Add(sum, picoOf(t, in.Cost.Total.String()))
		want.Add(want, records[i].Cost.Decimal().Shift(12).BigInt())
	}
	require.Zero(t, sum.Cmp(want))
}

func TestLegacyDecoderSeesTheServicesOwn(t *testing.T) {
	t.Parallel()
	require.Equal(t, "17000122355000", picoOf(t, "17.00012235499999998").String())
	require.Equal(t, "100000", picoOf(t, "1e-7").String())
}
