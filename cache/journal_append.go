package cache

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

const (
	// appendTimeout is how long an append waits for Redis, and of that
	// replicasTimeout for replicas. An fsync of a busy disk takes tens of ms.
	appendTimeout   = 500 * time.Millisecond
	replicasTimeout = 250 * time.Millisecond
	// field holds an entry in its stream.
	field = "e"
)

// appendScript adds as many entries as the limit lets, and gives how many.
const appendScript = `
local n = math.max(0, math.min(#ARGV - 1, tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])))
for i = 1, n do
	redis.call('XADD', KEYS[1], '*', 'e', ARGV[1 + i])
end
return n`

var appendLua = rueidis.NewLuaScript(appendScript)

var errFewReplicas = errors.New("too few replicas")

// Append adds entries in order and gives how many of them there was room for.
// With an error it is none: ErrJournalOff or ErrJournalUnsure. While Redis does
// not answer, a breaker makes it ErrJournalOff at once.
func (j *Journal) Append(ctx context.Context, entries [][]byte) (int, error) {
	if j.client.Load() == nil {
		return 0, ErrJournalOff
	}
	asked := false
	n, err := j.breaker.Execute(func() (n int, err error) {
		err = j.do(ctx, appendTimeout, func(ctx context.Context, r rueidis.Client) (err error) {
			asked = true
			n, err = j.append(ctx, r, entries)
			return err
		})
		return n, err
	})
	switch _, refused := rueidis.IsRedisErr(err); {
	case err == nil:
		return n, nil
	case !asked, refused: // a script that fails has changed nothing
		return 0, ErrJournalOff
	}
	return 0, ErrJournalUnsure
}

func (j *Journal) append(ctx context.Context, r rueidis.Client, entries [][]byte) (int, error) {
	args := make([]string, 0, 1+len(entries))
	args = append(args, strconv.Itoa(j.opts.Limit))
	for _, e := range entries {
		args = append(args, rueidis.BinaryString(e))
	}
	if j.opts.Replicas == 0 {
		n, err := appendLua.Exec(ctx, r, []string{j.stream}, args).AsInt64()
		return int(n), err
	}
	return j.appendReplicated(ctx, r, args)
}

// appendReplicated needs a connection for itself: WAIT counts the replicas that
// have what its own connection wrote.
func (j *Journal) appendReplicated(ctx context.Context, r rueidis.Client, args []string) (n int, err error) {
	err = r.Dedicated(func(c rueidis.DedicatedClient) error {
		replies := c.DoMulti(ctx,
			c.B().Eval().Script(appendScript).Numkeys(1).Key(j.stream).Arg(args...).Build(),
			c.B().Wait().Numreplicas(int64(j.opts.Replicas)).Timeout(replicasTimeout.Milliseconds()).Build())
		appended, err := replies[0].AsInt64()
		if err != nil {
			return err
		}
		n = int(appended)
		switch have, err := replies[1].AsInt64(); {
		case err != nil:
			return errFewReplicas // whatever WAIT said: the entries are there
		case have < int64(j.opts.Replicas):
			return errFewReplicas
		}
		return nil
	})
	return n, err
}
