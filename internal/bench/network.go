package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

var errInactive = errors.New("a key that exists was not validated")

// miss validates keys that were never asked for.
func (b *validation) miss(ctx context.Context) (float64, error) {
	hashes := make([]string, b.networkOps)
	for i := range hashes {
		hashes[i] = keyHash(b.missing)
		b.missing++
	}
	return latency(b.networkOps, func(i int) error {
		active, err := b.lib.ask(ctx, hashes[i])
		if err == nil && !active {
			err = errInactive
		}
		return err
	})
}

func (b *validation) docacheMiss(ctx context.Context) (float64, error) {
	names := b.entries.names[b.unseen : b.unseen+b.networkOps]
	b.unseen += b.networkOps
	return latency(b.networkOps, func(i int) error { return b.entries.miss(ctx, names[i]) })
}

func (b *validation) redisGet(ctx context.Context) (float64, error) {
	return latency(b.networkOps, func(i int) error { return b.entries.get(ctx, b.names[i]) })
}

func (b *validation) selectKey(ctx context.Context) (float64, error) {
	hashes := make([][]byte, b.networkOps)
	for i := range hashes {
		hash, err := hex.DecodeString(keyHash(b.keys + i))
		if err != nil {
			return 0, err
		}
		hashes[i] = hash
	}
	return latency(b.networkOps, func(i int) error {
		_, err := b.queries.APIKeyGetByHash(ctx, b.conn, hashes[i])
		return err
	})
}

// Updates go in short blocks with the triggers and without, in pairs, since a disk
// that others use has fast and slow seconds. The first updateSkip of a block plan
// their statements again and do not count.
const (
	updateBlock = 16
	updateSkip  = 4
	updatedKeys = 64
)

// createUpdated makes keys to update.
func (b *validation) createUpdated(ctx context.Context) error {
	for i := range updatedKeys {
		k, err := b.lib.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "updated " + strconv.Itoa(i)}).Get()
		if err != nil {
			return err
		}
		b.updated = append(b.updated, k.ID)
	}
	return nil
}

// updateRatio is the median of those of the pairs.
func (b *validation) updateRatio(ctx context.Context) (float64, error) {
	var ratios []float64
	for pair := range b.updatePairs {
		took := map[bool]float64{}
		for _, triggers := range []bool{pair%2 == 0, pair%2 != 0} {
			var err error
			if took[triggers], err = b.updates(ctx, triggers); err != nil {
				return 0, err
			}
		}
		ratios = append(ratios, took[true]/took[false])
	}
	return median(ratios), setTriggers(ctx, b.conn, true)
}

// updates is the median of a block.
func (b *validation) updates(ctx context.Context, triggers bool) (float64, error) {
	if err := setTriggers(ctx, b.conn, triggers); err != nil {
		return 0, err
	}
	took, err := latencies(updateBlock, func(i int) error { return b.update(ctx, i) })
	if err != nil {
		return 0, err
	}
	return median(took[updateSkip:]), nil
}

// update changes a key, each time to another value.
func (b *validation) update(ctx context.Context, i int) error {
	b.changes++
	patch := apikeys.Patch{ConcurrencyLimit: result.Set(b.changes)}
	return b.lib.APIKeys.UpdateAPIKey(ctx, b.updated[i%updatedKeys], patch).Err()
}
