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

// record is what a process keeps of a key. What a hit reads comes first, so that
// it touches as few lines of the processor's cache as can be. A record never
// changes, except for when its use is noted next.
type record struct {
	expires int64        // nanoseconds since 1970
	due     atomic.Int64 // when the next use is to be noted, likewise
	waits   bool         // for its activation
	enabled bool
	active  result.Result[Validation]

	known
}

func newRecord(k known) *record {
	r := &record{known: k, expires: math.MaxInt64, enabled: k.IsActive, waits: k.Activates && k.IsActive}
	if !k.ExpiresAt.IsZero() && k.ExpiresAt.Year() < 2262 { // later is never: an int64 ends there
		r.expires = k.ExpiresAt.UnixNano()
	}
	r.active = result.OK(k.answer(true))
	return r
}

func (r *record) activeAt(nanos int64) bool { return r.enabled && nanos < r.expires }

func (k *known) answer(active bool) Validation {
	return Validation{
		ID:          k.ID.String(),
		Permissions: k.Permissions,
		IsActive:    active,
		ExpiresAt:   k.ExpiresAt,
		RateLimits:  RateLimits{Concurrency: k.Concurrency, Daily: k.Daily, Requests: k.Requests},
	}
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
