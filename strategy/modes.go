package strategy

import (
	"slices"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Machinery is what a process has to work with.
type Machinery struct {
	// Cache is a Redis; Journal are the streams that take what write_behind delays.
	Cache, Journal bool
	// Redis is a Redis that can be a primary.
	Redis bool
}

// Effective is what a process does where it is told to do c: the same, but that what
// it has no machinery for falls back to what asks and writes the primary.
func (m Machinery) Effective(t DataType, c Config) Config {
	if c.PrimaryStorage == PrimaryRedis {
		c.EnableCache, c.CacheTTL, m.Journal = false, 0, false
	}
	c.EnableCache = c.EnableCache && m.Cache && t != Usage
	if !c.EnableCache || c.ReadStrategy == CacheOnly {
		c.ReadStrategy = DatabaseFirst
	}
	switch {
	case c.WriteStrategy == WriteBehind && m.Journal:
	case c.EnableCache:
		c.WriteStrategy = WriteAround
	case c.WriteStrategy == WriteBehind:
		c.WriteStrategy = WriteThrough
	}
	return c
}

// delays are the writes that write_behind acknowledges before the primary has them, as
// State's JSON names them. All others are written through.
var delays = map[DataType]string{
	APIKey: "lastUsedAt", Account: "status", Usage: "recordUsage", Session: "extendTTL",
}

// CheckDataType refuses a word that is none of the contract's.
func CheckDataType(t DataType) error {
	if !slices.Contains(DataTypes, t) {
		return result.Invalid("dataType", "must be apikey, account, usage or session")
	}
	return nil
}

// Check refuses a config that is wrong, contradicts itself, or asks for machinery
// that does not exist or that this process has not, naming the member.
func (m Machinery) Check(t DataType, c Config) error {
	if err := CheckDataType(t); err != nil {
		return err
	}
	if err := c.checkWords(); err != nil {
		return err
	}
	if c.PrimaryStorage == PrimaryRedis && !m.Redis {
		return result.Invalid("primaryStorage", "this process has no Redis that can be a primary: set REDIS_URL")
	}
	if err := m.checkCache(t, c); err != nil {
		return err
	}
	if err := c.checkTTL(); err != nil {
		return err
	}
	if err := checkRead(c); err != nil {
		return err
	}
	return m.checkWrite(c)
}

func (c Config) checkWords() error {
	switch {
	case c.PrimaryStorage != PrimaryPostgres && c.PrimaryStorage != PrimaryRedis:
		return result.Invalid("primaryStorage", "must be postgres or redis")
	case !slices.Contains([]ReadStrategy{CacheFirst, DatabaseFirst, CacheOnly}, c.ReadStrategy):
		return result.Invalid("readStrategy", "must be cache_first, database_first or cache_only")
	case !slices.Contains([]WriteStrategy{WriteThrough, WriteBehind, WriteAround}, c.WriteStrategy):
		return result.Invalid("writeStrategy", "must be write_through, write_behind or write_around")
	}
	return nil
}

func (c Config) checkTTL() error {
	switch {
	case c.CacheTTL%time.Second != 0:
		return result.Invalid("cacheTTL", "must be whole seconds")
	case c.CacheTTL == 0 && !c.EnableCache:
	case c.CacheTTL < MinCacheTTL || c.CacheTTL > MaxCacheTTL:
		return result.Invalid("cacheTTL", "must lie between %.0f and %.0f seconds", MinCacheTTL.Seconds(), MaxCacheTTL.Seconds())
	}
	return nil
}

func (m Machinery) checkCache(t DataType, c Config) error {
	switch {
	case !c.EnableCache:
	case c.PrimaryStorage == PrimaryRedis:
		return result.Invalid("enableCache", "a Redis primary is asked each time: a cache in Redis would save nothing")
	case t == Usage:
		return result.Invalid("enableCache", "usage has no cache: figures come from the ledger and its rollups")
	case !m.Cache:
		return result.Invalid("enableCache", "this process has no Redis: set REDIS_URL")
	}
	return nil
}

func checkRead(c Config) error {
	switch {
	case c.ReadStrategy == CacheOnly && !c.EnableCache:
		return result.Invalid("readStrategy", "cache_only contradicts enableCache false")
	case c.ReadStrategy == CacheOnly:
		return result.Invalid("readStrategy", "only reads of the primary fill a cache: once it has been flushed, cache_only would know nobody")
	}
	return nil
}

func (m Machinery) checkWrite(c Config) error {
	switch {
	case c.PrimaryStorage == PrimaryRedis && c.WriteStrategy == WriteBehind:
		return result.Invalid("writeStrategy", "a Redis primary has nothing in front of it that could be written first")
	case c.WriteStrategy == WriteThrough && c.EnableCache:
		return result.Invalid("writeStrategy", "a write leaves a tombstone in the cache, which keeps older fills out, and the next read fills it: that is write_around")
	case c.WriteStrategy == WriteBehind && !m.Journal:
		return result.Invalid("writeStrategy", "this process has no journal: set RELAYSTORE_USAGE_WRITES to write_behind, and REDIS_URL")
	}
	return nil
}
