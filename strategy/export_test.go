package strategy

import "context"

// TellAll drains once, without the background work.
func (o *Outbox) TellAll(ctx context.Context) error {
	o.batch = drainRows
	return o.tellAll(ctx)
}
