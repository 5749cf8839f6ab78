package apikeys

import (
	"encoding/json"
	"math"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// defaultActivation is how many units of life a key gets that names none.
const defaultActivation = 30

// known is what validation needs to know of a key, and what Redis holds of it.
type known struct {
	ID             uuid.UUID    `json:"id"`
	Permissions    string       `json:"permissions"`
	IsActive       bool         `json:"isActive"`
	ExpiresAt      time.Time    `json:"expiresAt,omitzero"`
	Activates      bool         `json:"activates,omitempty"`
	ActivationDays int64        `json:"activationDays,omitempty"`
	ActivationUnit string       `json:"activationUnit,omitempty"`
	Concurrency    int64        `json:"concurrency,omitempty"`
	Daily          result.Money `json:"daily,omitzero"`
	Requests       int64        `json:"requests,omitempty"`
}

// record is what a process keeps of a key. It never changes, except for when its use is
// noted next. With its key it fills two lines of a processor's cache, which is what most
// of a hit's time goes for: what a hit does not read lies elsewhere.
type record struct {
	ends int64        // nanoseconds since 1970, until which it is active
	due  atomic.Int64 // when the next use is to be noted, likewise
	*known

	id, permissions       string
	daily                 result.Money
	concurrency, requests int64
}

// The ends of a key that is not active, of one whose end no int64 holds, and of one
// that has none.
const (
	ended    = math.MinInt64
	farAway  = math.MaxInt64 - 1
	infinite = math.MaxInt64
)

func newRecord(k known) *record {
	return &record{
		ends: k.ends(), known: &k,
		id: k.ID.String(), permissions: k.Permissions, daily: k.Daily, concurrency: k.Concurrency, requests: k.Requests,
	}
}

func (k *known) ends() int64 {
	switch {
	case !k.IsActive || k.Activates:
		return ended
	case k.ExpiresAt.IsZero():
		return infinite
	case k.ExpiresAt.Year() >= 2262:
		return farAway
	}
	return k.ExpiresAt.UnixNano()
}

// waits tells whether the key waits for its activation.
func (r *record) waits() bool { return r.ends == ended && r.IsActive }

func (r *record) activeAt(nanos int64) bool { return nanos < r.ends }

// answer writes what the key is into a zero v: a hit would feel each copy.
func (r *record) answer(v *Validation, active bool) {
	v.ID = r.id
	v.Permissions = r.permissions
	v.IsActive = active
	v.RateLimits.Concurrency = r.concurrency
	v.RateLimits.Daily = r.daily
	v.RateLimits.Requests = r.requests
	if r.ends != infinite {
		v.ExpiresAt = r.expiresAt()
	}
}

func (r *record) expiresAt() time.Time {
	switch r.ends {
	case infinite:
		return time.Time{}
	case ended, farAway:
		return r.ExpiresAt
	}
	return time.Unix(0, r.ends).UTC()
}

func encode(r *record) ([]byte, error) { return json.Marshal(r.known) }

func decode(doc []byte) (*record, error) {
	var k known
	if err := json.Unmarshal(doc, &k); err != nil {
		return nil, err
	}
	return newRecord(k), nil
}

func (k *known) activatedUntil(now time.Time) time.Time {
	n := k.ActivationDays
	if n == 0 {
		n = defaultActivation
	}
	if k.ActivationUnit == unitHours {
		return now.Add(time.Duration(n) * time.Hour)
	}
	return now.Add(time.Duration(n) * 24 * time.Hour)
}
