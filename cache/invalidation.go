package cache

import (
	"encoding/hex"
	"strings"

	"github.com/redis/rueidis"
)

// onInvalidations takes Redis' pushes. It runs where the connection is read: it
// must not block, load or log. nil means that the connection was lost, or that
// Redis was flushed.
func (c *Cache) onInvalidations(messages []rueidis.RedisMessage) {
	if messages == nil {
		c.lose()
		return
	}
	for _, m := range messages {
		if name, err := m.ToString(); err == nil {
			c.invalidateName(name)
		}
	}
}

// lose begins anew. Freshness goes first, so that nothing is filled behind the
// flush. What a fresh process held is kept for when the primary is down, too; who looks
// for it meanwhile waits until it is there.
func (c *Cache) lose() {
	c.losing.Lock()
	defer c.losing.Unlock()
	was := c.fresh.clear()
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, records := range c.kinds {
		records.flush(was)
	}
}

// dropAside frees what was set aside: a heartbeat has come, so the primary is up.
func (c *Cache) dropAside() {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, records := range c.kinds {
		records.dropAside()
	}
}

func (c *Cache) invalidateName(name string) {
	kind, digits, ok := strings.Cut(strings.TrimPrefix(name, c.opts.Prefix+pushMark), ":")
	var key Key
	if !ok || len(digits) != hex.EncodedLen(len(key)) {
		return
	}
	if _, err := hex.Decode(key[:], []byte(digits)); err == nil {
		c.invalidate(kind, &key)
	}
}

func (c *Cache) invalidate(kind string, key *Key) {
	c.mu.RLock()
	records := c.kinds[kind]
	c.mu.RUnlock()
	if records != nil {
		records.invalidate(key)
	}
}

// pushMark starts, behind the prefix, the names that Redis tracks.
const pushMark = "push:"

// pushName is what Redis pushes when a record has changed.
func (c *Cache) pushName(kind string, key *Key) string {
	return c.opts.Prefix + pushMark + kind + ":" + hex.EncodeToString(key[:])
}

// name is a record's key in Redis.
func (c *Cache) name(kind string, key *Key) string {
	return c.opts.Prefix + kind + ":" + hex.EncodeToString(key[:])
}
