package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// Error is the contract's DatabaseError. Its texts are safe to show and to log.
type Error struct {
	// Code is never empty.
	Code Code
	// Message is one sentence for a person.
	Message string
	// Details says more, by the contract's names: field (a JSON name), line,
	// index, outcomeUnknown (the write may or may not have happened).
	Details map[string]any
	// Constraint is the database constraint that refused the write, if one did.
	Constraint string

	cause error // a context error or nil: the only cause that can hold no secret
}

// New makes an error with a code and a message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes the refusal of one field: InvalidQuery with details.field.
func Invalid(field, format string, args ...any) *Error {
	return New(InvalidQuery, field+": "+format, args...).With("field", field)
}

// With gives a copy with one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = make(map[string]any, 1)
	}
	c.Details[key] = value
	return &c
}

// Field is details.field: the JSON name of the refused input, or "".
func (e *Error) Field() string {
	f, _ := e.Details["field"].(string)
	return f
}

// Error gives the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap lets errors.Is find the code and context.Canceled or DeadlineExceeded.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.cause}
}

// MarshalJSON gives the DatabaseError's members: name, message, code, details.
func (e *Error) MarshalJSON() ([]byte, error) {
	details := e.Details
	if details == nil {
		details = map[string]any{}
	}
	return json.Marshal(struct {
		Name    string         `json:"name"`
		Message string         `json:"message"`
		Code    Code           `json:"code"`
		Details map[string]any `json:"details"`
	}{"DatabaseError", e.Message, e.Code, details})
}

// of gives a fixed message for a code, keeping a context cause for errors.Is.
func of(code Code, err error) *Error {
	e := &Error{Code: code, Message: messages[code]}
	for _, ctxErr := range contextErrors {
		if errors.Is(err, ctxErr) {
			e.cause = ctxErr
		}
	}
	return e
}
