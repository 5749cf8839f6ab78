package result_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func Example() {
	price := func(sku string) result.Result[result.Money] {
		if sku != "tea" {
			return result.Fail[result.Money](result.Invalid("sku", "unknown"))
		}
		return result.OK(result.MustMoney("1.50"))
	}
	for _, sku := range []string{"tea", "gold"} {
		r := price(sku)
		envelope, _ := json.Marshal(r)
		fmt.Println(string(envelope), errors.Is(r.Err(), result.InvalidQuery), *r.Data())
	}
	// Output:
	// {"success":true,"data":1.5} false 1.5
	// {"success":false,"error":"sku: unknown","code":"DB_INVALID_QUERY","details":{"field":"sku"}} true 0
}

func ExampleOpt() {
	type patch struct {
		Name result.Opt[string] `json:"name,omitzero"`
		Note result.Opt[string] `json:"note,omitzero"`
		Age  result.Opt[int]    `json:"age,omitzero"`
	}
	var p patch
	if err := json.Unmarshal([]byte(`{"name":"new","note":null}`), &p); err != nil {
		panic(err)
	}
	name, note, age := "old", "old", 7
	p.Name.Apply(&name, "")
	p.Note.Apply(&note, "")
	p.Age.Apply(&age, 0)
	fmt.Printf("%q %q %d\n", name, note, age)
	// Output: "new" "" 7
}

func ExampleParseMoney() {
	for _, text := range []string{"0.10", "1e-3", "0.0000000000015", "NaN"} {
		m, err := result.ParseMoney(text)
		fmt.Println(m, err)
	}
	// Output:
	// 0.1 <nil>
	// 0.001 <nil>
	// 0.000000000002 <nil>
	// 0 DB_INVALID_QUERY: an amount is a finite decimal number
}
