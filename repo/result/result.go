package result

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Result is the envelope of a method that gives data. The zero value is a
// success with T's zero value.
type Result[T any] struct {
	data T
	err  *Error
}

// Of makes the envelope of a value or an error; any error goes through [From].
func Of[T any](data T, err error) Result[T] {
	if err != nil {
		return Fail[T](err)
	}
	return Result[T]{data: data}
}

// OK makes a success.
func OK[T any](data T) Result[T] { return Result[T]{data: data} }

// Fail makes a failure out of a non-nil error.
func Fail[T any](err error) Result[T] { return Result[T]{err: From(err)} }

// Get gives the data, or an *Error and T's zero value.
func (r Result[T]) Get() (T, error) { return r.data, r.Err() }

// Data gives what Get does without a copy; of a failure it is T's zero value.
func (r *Result[T]) Data() *T { return &r.data }

// Err gives nil or an *Error.
func (r Result[T]) Err() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// Format prints the error or the data, each by its own rules: data that hides its
// secrets hides them here, too.
func (r Result[T]) Format(s fmt.State, verb rune) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), r.shown())
}

// LogValue is Format for logs.
func (r Result[T]) LogValue() slog.Value { return slog.AnyValue(r.shown()) }

func (r Result[T]) shown() any {
	if r.err != nil {
		return r.err
	}
	return r.data
}

// Revealer is data whose own JSON hides its secrets. Envelopes reveal them: their JSON
// is the answer that was asked for.
type Revealer interface {
	RevealJSON() ([]byte, error)
}

// MarshalJSON gives {"success":true,"data":…} or the failure's envelope.
func (r Result[T]) MarshalJSON() ([]byte, error) {
	if r.err != nil {
		return json.Marshal(failure(r.err))
	}
	var data any = r.data
	if secret, is := data.(Revealer); is {
		doc, err := secret.RevealJSON()
		if err != nil {
			return nil, err
		}
		data = json.RawMessage(doc)
	}
	return json.Marshal(struct {
		Success bool `json:"success"`
		Data    any  `json:"data"`
	}{true, data})
}

// Status is the envelope of a method that gives no data. The zero value is a
// success.
type Status struct {
	// Duplicate tells that the record's requestId was recorded before, so that
	// this call counted nothing. It is a success.
	Duplicate bool `json:"-"`

	err *Error
}

// StatusOf makes the envelope of an error or, for nil, of a success.
func StatusOf(err error) Status { return Status{err: From(err)} }

// Err gives nil or an *Error.
func (s Status) Err() error {
	if s.err == nil {
		return nil
	}
	return s.err
}

// MarshalJSON gives {"success":true} or the failure's envelope.
func (s Status) MarshalJSON() ([]byte, error) {
	if s.err != nil {
		return json.Marshal(failure(s.err))
	}
	return json.Marshal(struct {
		Success bool `json:"success"`
	}{true})
}

func failure(e *Error) any {
	return struct {
		Success bool           `json:"success"`
		Error   string         `json:"error"`
		Code    Code           `json:"code"`
		Details map[string]any `json:"details,omitempty"`
	}{false, e.Message, e.Code, e.Details}
}
