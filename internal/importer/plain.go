package importer

import (
	"context"
	"time"

	"github.com/seed14a526e0/relaystore/internal/legacy"
)

// PlainRead tells how long reading all that an import reads takes alone.
func PlainRead(ctx context.Context, source Source) (time.Duration, error) {
	began := time.Now()
	err := source.Names(ctx, func(keys []string) error {
		var read []string
		for _, key := range keys {
			if carried(legacy.ParseName(key).Kind) {
				read = append(read, key)
			}
		}
		_, err := source.Read(ctx, read)
		return err
	})
	return time.Since(began), err
}
