package usage_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// The sums behind the figures, compared with the records and repaired. A real one
// takes its time: Progress is for a bar.
func ExampleRepo_Verify() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	report, err := client.Usage.Verify(ctx, usage.VerifyOptions{Repair: true, Progress: func(done, total int) {
		fmt.Println(done, "of", total)
	}})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(report.Wrong, "wrong,", report.Repaired, "repaired")
	// Output:
	// 1 of 1
	// 2 of 2
	// 0 wrong, 0 repaired
}
