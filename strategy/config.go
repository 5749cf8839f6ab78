package strategy

import (
	"encoding/json"
	"math"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// DataType is one of the contract's four kinds of data.
type DataType string

// The contract's data types.
const (
	APIKey  DataType = "apikey"
	Account DataType = "account"
	Usage   DataType = "usage"
	Session DataType = "session"
)

// DataTypes are all of them.
var DataTypes = []DataType{APIKey, Account, Usage, Session}

// Primary is where a data type's system of record is.
type Primary string

// The contract's primaries. The Redis one speaks the legacy service's layout.
const (
	PrimaryPostgres Primary = "postgres"
	PrimaryRedis    Primary = "redis"
)

// ReadStrategy says who is asked first.
type ReadStrategy string

// The contract's read strategies.
const (
	CacheFirst    ReadStrategy = "cache_first"
	DatabaseFirst ReadStrategy = "database_first"
	CacheOnly     ReadStrategy = "cache_only"
)

// WriteStrategy says what a write has done when it returns.
type WriteStrategy string

// The contract's write strategies.
const (
	// WriteThrough: primary and cache have it.
	WriteThrough WriteStrategy = "write_through"
	// WriteBehind: of what [State] names in Delays, the journal has it, the primary gets it
	// later; all else is as under WriteAround, or without a cache under WriteThrough.
	WriteBehind WriteStrategy = "write_behind"
	// WriteAround: the primary has it, and the cache forgets what it had.
	WriteAround WriteStrategy = "write_around"
)

// Bounds of a Config's CacheTTL where the cache is on.
const (
	MinCacheTTL = time.Second
	MaxCacheTTL = 7 * 24 * time.Hour
)

// Config is how a data type is stored: the contract's StorageConfig.
type Config struct {
	PrimaryStorage Primary
	EnableCache    bool
	// CacheTTL is how long Redis keeps a record, in whole seconds from MinCacheTTL to
	// MaxCacheTTL, or 0 where the cache is off; freshness does not hang on it. In JSON
	// it is a number of seconds.
	CacheTTL      time.Duration
	ReadStrategy  ReadStrategy
	WriteStrategy WriteStrategy
}

// Default is what holds for a data type until somebody switches it. behind tells
// whether usage is written behind by the process's own configuration.
func Default(t DataType, behind bool) Config {
	if t != Usage {
		return Config{PrimaryPostgres, true, cache.DefaultTTL, CacheFirst, WriteAround}
	}
	c := Config{PrimaryPostgres, false, 0, DatabaseFirst, WriteThrough}
	if behind {
		c.WriteStrategy = WriteBehind
	}
	return c
}

// DefaultOn is what a data type's config is where only its primary is given.
func DefaultOn(p Primary, t DataType) Config {
	c := Default(t, false)
	if p != PrimaryPostgres {
		c = Config{p, false, 0, DatabaseFirst, WriteThrough}
	}
	return c
}

// configJSON is Config as JSON has it.
type configJSON struct {
	PrimaryStorage Primary       `json:"primaryStorage"`
	EnableCache    bool          `json:"enableCache"`
	CacheTTL       float64       `json:"cacheTTL"`
	ReadStrategy   ReadStrategy  `json:"readStrategy"`
	WriteStrategy  WriteStrategy `json:"writeStrategy"`
}

func (c Config) json() configJSON {
	return configJSON{c.PrimaryStorage, c.EnableCache, c.CacheTTL.Seconds(), c.ReadStrategy, c.WriteStrategy}
}

// MarshalJSON gives the contract's names and units.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.json()) }

// UnmarshalJSON refuses wrong, unknown and missing members by name.
func (c *Config) UnmarshalJSON(data []byte) error {
	var in configJSON
	err := result.DecodeStrict(data, &in, "primaryStorage", "enableCache", "cacheTTL", "readStrategy", "writeStrategy")
	if err != nil {
		return err
	}
	if math.Abs(in.CacheTTL) > math.MaxInt32 {
		return result.Invalid("cacheTTL", "not a number of seconds that can be counted with")
	}
	ttl := time.Duration(in.CacheTTL * float64(time.Second))
	*c = Config{in.PrimaryStorage, in.EnableCache, ttl, in.ReadStrategy, in.WriteStrategy}
	return nil
}
