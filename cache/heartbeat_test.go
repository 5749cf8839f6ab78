package cache_test

import (
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// Something else stands in the heartbeat's place. It is no heartbeat, and the next one
// takes its place in a new epoch; Redis works, so that nothing is told of an outage.
func TestWhatIsNoHeartbeatIsReplaced(t *testing.T) {
	t.Parallel()
	set := func(text string) func(*bundle, string) rueidis.Completed {
		return func(b *bundle, name string) rueidis.Completed { return b.redis.B().Set().Key(name).Value(text).Build() }
	}
	for name, command := range map[string]func(*bundle, string) rueidis.Completed{
		"garbage":        set("garbage"),
		"empty":          set(""),
		"a lone field":   set("7"),
		"two fields":     set("7 8"),
		"a field more":   set("7 8 9 10"),
		"spaces":         set("7  8 9"),
		"too large":      set("99999999999999999999 1 1"),
		"zeros":          set("0 0 0"),
		"the far future": set("9223372036854775807 9223372036854775807 0"),
		"a list": func(b *bundle, name string) rueidis.Completed {
			require.NoError(b.t, b.redis.Do(b.t.Context(), b.redis.B().Rpush().Key(name+"list").Element("7").Build()).Error())
			return b.redis.B().Rename().Key(name + "list").Newkey(name).Build()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.process()
			epoch := p.Epoch()
			require.NoError(t, b.redis.Do(t.Context(), command(b, p.HeartbeatName())).Error())
			b.becomes(func() bool { return p.Epoch() > epoch && p.Epoch() < time.Now().UnixMicro() && p.Fresh(time.Now()) })
			require.Empty(t, p.log.texts())
			require.Empty(t, b.drainer.log.texts())
		})
	}
}
