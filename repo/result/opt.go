package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Opt is a member of a partial update: absent (the zero value) keeps what is
// stored, null clears it, a value replaces it. Tag such fields omitzero.
type Opt[T any] struct {
	value     T
	set, null bool
}

// Set makes an Opt that replaces.
func Set[T any](v T) Opt[T] { return Opt[T]{value: v, set: true} }

// Null makes an Opt that clears.
func Null[T any]() Opt[T] { return Opt[T]{set: true, null: true} }

// IsZero tells whether the member is absent.
func (o Opt[T]) IsZero() bool { return !o.set }

// IsNull tells whether the member clears.
func (o Opt[T]) IsNull() bool { return o.null }

// Apply brings the member to a stored value; clearing stores cleared, the value
// of a record that never had the member.
func (o Opt[T]) Apply(stored *T, cleared T) {
	switch {
	case o.null:
		*stored = cleared
	case o.set:
		*stored = o.value
	}
}

// Format prints whether there is a value, and never which: it may be a secret.
func (o Opt[T]) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, o.state()) }

// LogValue is Format for logs.
func (o Opt[T]) LogValue() slog.Value { return slog.StringValue(o.state()) }

func (o Opt[T]) state() string {
	switch {
	case o.null:
		return "[null]"
	case o.set:
		return "[set]"
	}
	return "[absent]"
}

var errOptGoesOut = New(InvalidQuery, "a member of a partial update has no form in JSON: it may be a secret")

// MarshalJSON fails where there is a value: partial updates come in as JSON and never
// go out, but a logger would make JSON of them.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if o.set && !o.null {
		return nil, errOptGoesOut
	}
	return []byte("null"), nil
}

// UnmarshalJSON takes a value or null. It is not called for an absent member.
func (o *Opt[T]) UnmarshalJSON(data []byte) error {
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		*o = Null[T]()
		return nil
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*o = Set(v)
	return nil
}
