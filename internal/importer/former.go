package importer

import (
	"context"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
	"github.com/seed14a526e0/relaystore/strategy"
)

// marked is a source that tells which keys it has. A dump does, an export cannot.
type marked interface {
	Has(ctx context.Context, key string) (bool, error)
}

// checkPrimaries refuses an import into data types whose primary is Redis, and one from a
// Redis that has been a primary of this database: its counters have what was counted here,
// which would count again, and its accounts would come paused.
func (im *run) checkPrimaries(ctx context.Context) error {
	switches := im.client.Storage.Switches
	if err := switches.Look(ctx); err != nil {
		return err
	}
	for _, t := range []strategy.DataType{strategy.Usage, strategy.APIKey, strategy.Account} {
		if switches.State(t).PrimaryStorage == strategy.PrimaryRedis {
			return result.Invalid("primaryStorage", "the primary of %[1]s is Redis, and an import writes to PostgreSQL: bring it back first "+
				"(relaystore strategy switch %[1]s --primary postgres); what Redis has of it comes along", t)
		}
	}
	source, can := im.source.(marked)
	if !can {
		return nil
	}
	for _, t := range []strategy.DataType{strategy.Usage, strategy.APIKey, strategy.Account} {
		if !switches.WasMoved(t) {
			continue
		}
		if has, err := source.Has(ctx, strategy.EpochKey(t)); has || err != nil {
			return former(t, err)
		}
	}
	copied, err := source.Has(ctx, usage.CopiedKey)
	if !copied || err != nil {
		return err
	}
	counted, err := im.client.Usage.HasCounted(ctx)
	if counted || err != nil {
		return former(strategy.Usage, err)
	}
	return nil
}

func former(t strategy.DataType, err error) error {
	if err != nil {
		return err
	}
	return result.Invalid("redis", "this Redis has been a primary of %[1]s, or a move of %[1]s to it was given up: what it has of this database's own would come again. "+
		"What it held as the primary came along with the switch back; do not import from it any more", t)
}
