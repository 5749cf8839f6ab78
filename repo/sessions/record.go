package sessions

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// keptData is how many bytes of session data a process and Redis keep of a
// session: ten thousand sessions of 64 KiB would be 640 MiB.
const keptData = 4 << 10

// known is what Redis holds of a session, its data behind it.
type known struct {
	UserID    string    `json:"userId"`
	UserType  UserType  `json:"userType"`
	ExpiresAt time.Time `json:"expiresAt"`
	// Large means that the data is too large to be kept.
	Large bool `json:"large,omitempty"`
}

// record is what a process keeps of a session. It never changes.
type record struct {
	known
	data []byte
}

// kept is the record as a cache keeps it.
func (r *record) kept() *record {
	if len(r.data) <= keptData {
		return r
	}
	k := &record{known: r.known}
	k.Large = true
	return k
}

func (r *record) validAt(now time.Time) bool { return now.Before(r.ExpiresAt) }

func (r *record) answer(now time.Time) Validation {
	return Validation{
		UserID:      r.UserID,
		UserType:    r.UserType,
		SessionData: bytes.Clone(r.data),
		ExpiresAt:   r.ExpiresAt,
		IsValid:     r.validAt(now),
	}
}

// encode puts the data behind the rest as it is: inside it, it would lose its
// spaces and more.
func encode(r *record) ([]byte, error) {
	head, err := json.Marshal(r.known)
	return append(append(head, '\n'), r.data...), err
}

func decode(doc []byte) (*record, error) {
	head, data, found := bytes.Cut(doc, []byte("\n"))
	if !found {
		return nil, errors.New("no session")
	}
	r := &record{data: data}
	return r, json.Unmarshal(head, &r.known)
}
