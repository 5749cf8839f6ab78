package batch_test

import (
	"encoding/json"
	"fmt"

	"github.com/seed14a526e0/relaystore/repo/batch"
)

// Operations come from JSON as the contract writes them.
func ExampleOperation() {
	var ops []batch.Operation
	err := json.Unmarshal([]byte(`[
		{"type": "create", "table": "api_keys", "data": {"name": "alice"}},
		{"type": "delete", "table": "api_keys", "where": {"created_at": {"lt": "2024-01-01T00:00:00Z"}}}
	]`), &ops)
	fmt.Println(len(ops), err)
	fmt.Println(json.Unmarshal([]byte(`[{"type": "delete", "tabel": "api_keys"}]`), &ops))
	// Output:
	// 2 <nil>
	// DB_INVALID_QUERY: table: required
}
