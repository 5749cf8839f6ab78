package cache

import "time"

// firstCursor begins a pass over the entries of all consumers.
const firstCursor = "0-0"

// next reads what is to be flushed, connecting and making the group where that is
// needed. Nothing was there to read when it gives nothing.
func (c *consumer) next() ([]readEntry, error) {
	if c.client.Load() == nil {
		if err := c.connect(c.background); err != nil {
			return nil, err
		}
	}
	entries, err := c.gather()
	if groupIsGone(err) {
		if err := c.createGroup(c.background); err != nil {
			return nil, err
		}
		return c.gather()
	}
	return entries, err
}

// gather reads its own entries first, then those of silent consumers, then new
// ones, for which it waits if there is nothing else to do.
func (c *consumer) gather() (entries []readEntry, err error) {
	if c.unsure {
		if entries, err = c.readOwn(c.background); err != nil {
			return nil, err
		}
		c.unsure = len(entries) > 0
	}
	if len(entries) == 0 && !time.Now().Before(c.nextClaim) {
		if entries, err = c.takeOver(); err != nil {
			return nil, err
		}
	}
	if len(entries) >= readBatch {
		return entries, nil
	}
	fresh, err := c.readNew(c.background, readBatch-len(entries), len(entries) == 0 && !c.ending())
	return append(entries, fresh...), err
}

// takeOver claims a page of what silent consumers hold. When it has seen all, it
// forgets consumers that are gone, and rests.
func (c *consumer) takeOver() ([]readEntry, error) {
	entries, cursor, err := c.claim(c.background, c.cursor)
	if err != nil {
		return nil, err
	}
	if c.cursor = cursor; cursor == firstCursor {
		c.nextClaim = time.Now().Add(c.opts.ClaimAfter / 3)
		err = c.forget(c.background, false)
	}
	return entries, err
}
