package strategy_test

import (
	"context"
	"fmt"
	"time"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/strategy"
)

func ExampleRetryPolicy_Do() {
	policy := strategy.RetryPolicy{MaxRetries: 3, BaseDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond}
	always := func(error) bool { return true }
	tries := 0
	err := policy.Do(context.Background(), func() error {
		if tries++; tries < 3 {
			return result.QueryTimeout // one of the contract's retryable errors
		}
		return nil
	}, always)
	fmt.Println(tries, err)

	tries = 0
	err = policy.Do(context.Background(), func() error { tries++; return result.DuplicateKey }, always)
	fmt.Println(tries, err)
	// Output:
	// 3 <nil>
	// 1 DB_DUPLICATE_KEY
}
