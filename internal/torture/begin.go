package torture

import (
	"context"
	"errors"
	"time"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
)

// begin makes the keys and starts the gateways.
func (r *run) begin(ctx context.Context) error {
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: r.place.DatabaseURL, RedisURL: r.place.RedisURL, KeyPrefix: r.place.Prefix})
	if err != nil {
		return err
	}
	r.traffic.Begun = time.Now().UTC().Truncate(time.Microsecond)
	for range keys {
		k, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "torture"}).Get()
		if err != nil {
			return errors.Join(err, client.Close(ctx))
		}
		r.traffic.Keys = append(r.traffic.Keys, apiKey{k.ID, k.HashedKey})
	}
	if err := client.Close(ctx); err != nil {
		return err
	}
	for n := range r.opts.Gateways {
		s, err := r.newSlot(n)
		if err != nil {
			return err
		}
		r.slots = append(r.slots, s)
	}
	for _, s := range r.slots {
		if err := s.start(); err != nil {
			return err
		}
	}
	return nil
}
