package strategy_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func TestRefusalsNameTheMember(t *testing.T) {
	t.Parallel()
	full := strategy.Machinery{Cache: true, Journal: true, Redis: true}
	for name, c := range map[string]struct {
		machinery strategy.Machinery
		dataType  strategy.DataType
		change    func(*strategy.Config)
		field     string
	}{
		"data type":                   {full, "limits", func(*strategy.Config) {}, "dataType"},
		"primary":                     {full, strategy.APIKey, func(c *strategy.Config) { c.PrimaryStorage = "mysql" }, "primaryStorage"},
		"no Redis for a primary":      {strategy.Machinery{}, strategy.APIKey, func(c *strategy.Config) { c.PrimaryStorage = strategy.PrimaryRedis }, "primaryStorage"},
		"a cache for a Redis primary": {full, strategy.APIKey, func(c *strategy.Config) { c.PrimaryStorage = strategy.PrimaryRedis }, "enableCache"},
		"read":                        {full, strategy.APIKey, func(c *strategy.Config) { c.ReadStrategy = "" }, "readStrategy"},
		"cache_only":                  {full, strategy.APIKey, func(c *strategy.Config) { c.ReadStrategy = strategy.CacheOnly }, "readStrategy"},
		"write":                       {full, strategy.Session, func(c *strategy.Config) { c.WriteStrategy = "WRITE_AROUND" }, "writeStrategy"},
		"write_through with a cache":  {full, strategy.Session, func(c *strategy.Config) { c.WriteStrategy = strategy.WriteThrough }, "writeStrategy"},
		"keys behind, no journal":     {strategy.Machinery{Cache: true}, strategy.APIKey, func(c *strategy.Config) { c.WriteStrategy = strategy.WriteBehind }, "writeStrategy"},
		"no journal":                  {strategy.Machinery{Cache: true}, strategy.Usage, func(c *strategy.Config) { c.WriteStrategy = strategy.WriteBehind }, "writeStrategy"},
		"usage cached":                {full, strategy.Usage, func(c *strategy.Config) { c.EnableCache, c.CacheTTL = true, time.Minute }, "enableCache"},
		"no Redis":                    {strategy.Machinery{}, strategy.Account, func(*strategy.Config) {}, "enableCache"},
		"no TTL":                      {full, strategy.Account, func(c *strategy.Config) { c.CacheTTL = 0 }, "cacheTTL"},
		"short TTL":                   {full, strategy.Account, func(c *strategy.Config) { c.CacheTTL = -time.Second }, "cacheTTL"},
		"long TTL":                    {full, strategy.Account, func(c *strategy.Config) { c.CacheTTL = strategy.MaxCacheTTL + time.Second }, "cacheTTL"},
		"broken TTL":                  {full, strategy.Account, func(c *strategy.Config) { c.CacheTTL = 1500 * time.Millisecond }, "cacheTTL"},
	} {
		cfg := strategy.Default(c.dataType, false)
		c.change(&cfg)
		err := c.machinery.Check(c.dataType, cfg)
		require.ErrorIs(t, err, result.InvalidQuery, name)
		require.Equal(t, c.field, result.From(err).Field(), name)
	}
}

// What a process takes, it does; and what it does is something that it would take.
func TestEffective(t *testing.T) {
	t.Parallel()
	for _, m := range []strategy.Machinery{{}, {Cache: true}, {Redis: true}, {Cache: true, Journal: true, Redis: true}} {
		for _, dataType := range strategy.DataTypes {
			for _, r := range strategy.Rows(dataType) {
				c := r.Config
				if c.PrimaryStorage == strategy.PrimaryRedis && !m.Redis {
					continue // is refused at Open
				}
				does := m.Effective(dataType, c)
				require.NoError(t, m.Check(dataType, does), "%v %s %v", m, dataType, c)
				if m.Check(dataType, c) == nil {
					require.Equal(t, []any{c.EnableCache, c.WriteStrategy}, []any{does.EnableCache, does.WriteStrategy})
				}
			}
			behind := m.Journal
			require.Equal(t, m.Cache || dataType == strategy.Usage, m.Check(dataType, strategy.Default(dataType, behind)) == nil)
		}
	}
}

func TestConfigJSON(t *testing.T) {
	t.Parallel()
	for _, dataType := range strategy.DataTypes {
		c := strategy.Default(dataType, true)
		doc, err := json.Marshal(c)
		require.NoError(t, err)
		var back strategy.Config
		require.NoError(t, json.Unmarshal(doc, &back))
		require.Equal(t, c, back)
	}
	const good = `{"primaryStorage":"postgres","enableCache":true,"cacheTTL":600,"readStrategy":"cache_first","writeStrategy":"write_around"}`
	var c strategy.Config
	require.NoError(t, json.Unmarshal([]byte(good), &c))
	require.Equal(t, strategy.Default(strategy.APIKey, false), c)
	require.Equal(t, cache.DefaultTTL, c.CacheTTL)
	for doc, field := range map[string]string{
		`{"enableCache":true,"cacheTTL":600,"readStrategy":"cache_first","writeStrategy":"write_around"}`:                                      "primaryStorage",
		`{"primaryStorage":"postgres","cacheTTL":600,"readStrategy":"cache_first","writeStrategy":"write_around"}`:                             "enableCache",
		`{"primaryStorage":"postgres","enableCache":true,"cacheTTL":null,"readStrategy":"cache_first","writeStrategy":"write_around"}`:         "cacheTTL",
		`{"primaryStorage":"postgres","enableCache":true,"cacheTTL":1e300,"readStrategy":"cache_first","writeStrategy":"write_around"}`:        "cacheTTL",
		`{"primaryStorage":"postgres","enableCache":true,"cacheTTL":600,"readStrategy":"cache_first","writeStrategy":"write_around","more":1}`: "more",
		`{"primaryStorage":"postgres","enableCache":"yes","cacheTTL":600,"readStrategy":"cache_first","writeStrategy":"write_around"}`:         "enableCache",
	} {
		err := json.Unmarshal([]byte(doc), &c)
		require.ErrorIs(t, err, result.InvalidQuery, doc)
		require.Equal(t, field, result.From(err).Field(), doc)
	}
}
