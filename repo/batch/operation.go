package batch

import (
	"encoding/json"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Bounds of a batch.
const (
	// MaxOperations is how many operations a batch may have.
	MaxOperations = 10_000
	// maxRows is how many rows one operation may change, maxRowsTotal all together:
	// their ids are in the results.
	maxRows      = 10_000
	maxRowsTotal = 50_000
	// maxBytes bounds the values of a batch.
	maxBytes = 64 << 20
	// maxIn bounds the values of an in.
	maxIn = 10_000
)

// Types of operations.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Operation is one change: the contract's operation. Names of tables and columns
// are the schema's; values are those of the contract's JSON, or Go values that
// marshal to it.
type Operation struct {
	// Type is Create, Update or Delete.
	Type  string `json:"type"`
	Table string `json:"table"`
	// Data are the columns of a new row, or those that an update sets. null clears.
	Data map[string]any `json:"data,omitempty"`
	// Where says which rows: required of an update and a delete. All of its members
	// must hold: {"id": "…"} is equality, {"expires_at": null} is without one,
	// {"id": {"in": ["…", "…"]}}, and {"created_at": {"gte": "…", "lt": "…"}} with
	// eq, ne, lt, lte, gt and gte.
	Where map[string]any `json:"where,omitempty"`
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (o *Operation) UnmarshalJSON(data []byte) error {
	var j struct {
		Type  string  `json:"type"`
		Table string  `json:"table"`
		Data  members `json:"data"`
		Where members `json:"where"`
	}
	if err := result.DecodeStrict(data, &j, "type", "table"); err != nil {
		return err
	}
	*o = Operation{j.Type, j.Table, j.Data, j.Where}
	return nil
}

// members is an object whose values stay JSON.
type members map[string]any

// UnmarshalJSON refuses what is no object, and members given twice.
func (m *members) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	unknown, err := result.Decode(data, &struct{}{})
	if err != nil {
		return err
	}
	*m = make(members, len(unknown))
	for name, value := range unknown {
		(*m)[name] = value
	}
	return nil
}

// Affected is the result of an update or a delete.
type Affected struct {
	// IDs are the rows that were changed, in order; none matched where it is empty.
	IDs []string `json:"ids"`
}

// Result is the contract's answer: results beside success.
type Result struct {
	results []any
	err     *result.Error
}

// Of makes the answer of results or an error.
func Of(results []any, err error) Result {
	if err != nil {
		return Result{err: result.From(err)}
	}
	return Result{results: results}
}

// Get gives a result an operation, in their order, or an *result.Error. A create's
// result is what its repo shows of a new record, another one's is Affected.
func (r Result) Get() ([]any, error) { return r.results, r.Err() }

// Err gives nil or an *result.Error.
func (r Result) Err() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// MarshalJSON gives {"success":true,"results":[…]}, or the failure's envelope with
// no results.
func (r Result) MarshalJSON() ([]byte, error) {
	type envelope struct {
		Success bool           `json:"success"`
		Results []any          `json:"results"`
		Error   string         `json:"error,omitempty"`
		Code    result.Code    `json:"code,omitempty"`
		Details map[string]any `json:"details,omitempty"`
	}
	if r.err != nil {
		return json.Marshal(envelope{false, []any{}, r.err.Message, r.err.Code, r.err.Details})
	}
	return json.Marshal(envelope{Success: true, Results: append([]any{}, r.results...)})
}
