package storage

import (
	"encoding/json"
	"time"
)

// Health is how the storage does: the contract's getStorageHealth and more.
type Health struct {
	Postgres PostgresHealth `json:"postgres"`
	Redis    RedisHealth    `json:"redis"`
}

// PostgresHealth is PostgreSQL's part.
type PostgresHealth struct {
	// Connected tells whether it answered.
	Connected bool
	// Latency is one round trip's on a connection that was there; without an answer, how
	// long that was waited for. In JSON it is in ms, as every time here.
	Latency time.Duration
	// Pool is what this process's connections do.
	Pool PoolStatus
	// OutboxLag is since when the oldest change waits that Redis has not been told of; 0
	// where none does, negative where that is not known, which JSON leaves out.
	OutboxLag time.Duration
	// SchemaVersion is the newest applied migration; 0 where that is not known, which
	// JSON leaves out.
	SchemaVersion int64
}

// PoolStatus counts the connections of the process's pool, those included that are
// being opened, and its calls that wait for one.
type PoolStatus struct {
	Total   int `json:"total"`
	Idle    int `json:"idle"`
	Waiting int `json:"waiting"`
	// Max is how many there may be.
	Max int `json:"max"`
}

// RedisHealth is Redis' part. Without a Redis it is not configured and not connected.
type RedisHealth struct {
	Configured, Connected bool
	// Latency is as PostgreSQL's.
	Latency time.Duration
	Memory  Memory
	// Persistence is what Redis has on disk when it acknowledges: always (all of it),
	// everysec (up to the last second), no (as the system likes), snapshots, nothing, or
	// unknown.
	Persistence string
	// EvictionPolicy is maxmemory-policy, or unknown.
	EvictionPolicy string
	// HeartbeatAge is how old an answer from the cache may be now; negative where nothing
	// proves this process fresh, so that it reads PostgreSQL, which JSON leaves out.
	HeartbeatAge time.Duration
	// Journal is that of usage, Touches that of the other data types; nil where this
	// process has none.
	Journal, Touches *JournalHealth
}

// Memory is Redis', in bytes, and -1 where it did not tell. Max 0 is no bound.
type Memory struct {
	Used int64 `json:"used"`
	Max  int64 `json:"max"`
}

// JournalHealth is a journal's.
type JournalHealth struct {
	// Appending tells whether it takes records.
	Appending bool
	// Length is how many records it holds that are not flushed, and Refused how many were
	// put aside; -1 where Redis did not tell.
	Length, Refused int64
	// Age is the oldest record's; 0 without one, negative where Redis did not tell, which
	// JSON leaves out.
	Age time.Duration
	// Replicas is how many replicas must have a record before it is acknowledged.
	Replicas int
}

// ms is a time as JSON has it, nil for one that is not known.
func ms(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	v := float64(d.Microseconds()) / 1000
	return &v
}

// MarshalJSON gives the contract's names and units.
func (h PostgresHealth) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Connected     bool       `json:"connected"`
		Latency       *float64   `json:"latency"`
		Pool          PoolStatus `json:"poolStatus"`
		OutboxLag     *float64   `json:"outboxLag,omitempty"`
		SchemaVersion int64      `json:"schemaVersion,omitempty"`
	}{h.Connected, ms(h.Latency), h.Pool, ms(h.OutboxLag), h.SchemaVersion})
}

// MarshalJSON gives the contract's names and units.
func (h RedisHealth) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Configured     bool           `json:"configured"`
		Connected      bool           `json:"connected"`
		Latency        *float64       `json:"latency"`
		Memory         Memory         `json:"memory"`
		Persistence    string         `json:"persistence"`
		EvictionPolicy string         `json:"evictionPolicy"`
		HeartbeatAge   *float64       `json:"heartbeatAge,omitempty"`
		Journal        *JournalHealth `json:"journal,omitempty"`
		Touches        *JournalHealth `json:"touches,omitempty"`
	}{h.Configured, h.Connected, ms(h.Latency), h.Memory, h.Persistence, h.EvictionPolicy, ms(h.HeartbeatAge), h.Journal, h.Touches})
}

// MarshalJSON gives times in ms.
func (h JournalHealth) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Appending bool     `json:"appending"`
		Length    int64    `json:"length"`
		Age       *float64 `json:"age,omitempty"`
		Refused   int64    `json:"refused"`
		Replicas  int      `json:"replicas"`
	}{h.Appending, h.Length, ms(h.Age), h.Refused, h.Replicas})
}
