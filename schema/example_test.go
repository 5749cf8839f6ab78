package schema_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/schema"
)

// Migrating a database that is up to date changes nothing.
func ExampleMigrate() {
	url, drop := testdb.ForExample() // elsewhere: your DATABASE_URL
	defer drop()
	ctx := context.Background()
	fmt.Println(schema.Migrate(ctx, url))
	m, err := schema.Open(url)
	if err != nil {
		log.Panic(err)
	}
	defer m.Close() //nolint:errcheck // an example
	version, err := m.Version(ctx)
	known := schema.Versions()
	fmt.Println(version == known[len(known)-1], err)
	// Output:
	// <nil>
	// true <nil>
}
