package strategy

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// Call is one run of a Script.
type Call struct{ Keys, Args []string }

// Reply is what became of a Call.
type Reply struct {
	rueidis.RedisMessage

	Err error
}

// WriteAll is Write of many calls, in their order and in one round trip once the server
// knows the script; the caller bounds them. Each is whole or not at all, by itself.
func (r *Redis) WriteAll(ctx context.Context, t DataType, s *Script, calls []Call) []Reply {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	replies := make([]Reply, len(calls))
	client, err := r.connected()
	if err != nil {
		for i := range replies {
			replies[i].Err = err
		}
		return replies
	}
	all := make([]int, len(calls))
	for i := range all {
		all[i] = i
	}
	epoch := strconv.FormatInt(r.switches.State(t).Epoch, 10)
	run := func(at []int) []rueidis.RedisResult {
		cmds := make(rueidis.Commands, len(at))
		for i, n := range at {
			keys, args := calls[n].Keys, calls[n].Args
			cmds[i] = client.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys) + 1)).Key(EpochKey(t)).Key(keys...).Arg(epoch).Arg(args...).Build()
		}
		return client.DoMulti(ctx, cmds...)
	}
	unknown := answer(ctx, replies, all, run(all))
	if len(unknown) > 0 {
		if err := client.Do(ctx, client.B().ScriptLoad().Script(s.text).Build()).Error(); err != nil {
			for _, n := range unknown {
				replies[n].Err = redisError(ctx, err) // nothing has run
			}
		} else {
			answer(ctx, replies, unknown, run(unknown))
		}
	}
	r.lookIfFenced(ctx, replies)
	return replies
}

// answer fills in the replies of some calls, and gives those whose script the server
// does not know.
func answer(ctx context.Context, replies []Reply, at []int, results []rueidis.RedisResult) (unknown []int) {
	for i, n := range at {
		message, err := results[i].ToMessage()
		refused, answered := rueidis.IsRedisErr(err)
		replies[n] = Reply{RedisMessage: message}
		switch {
		case answered && refused.IsNoScript():
			unknown = append(unknown, n)
			replies[n].Err = err
		case answered && strings.HasPrefix(refused.Error(), fencedBy):
			replies[n].Err = result.ReadOnly
		case answered:
			replies[n].Err = err
		case err != nil:
			replies[n].Err = outcomeUnknown(redisError(ctx, err))
		}
	}
	return unknown
}

func (r *Redis) lookIfFenced(ctx context.Context, replies []Reply) {
	for _, reply := range replies {
		if reply.Err == error(result.ReadOnly) {
			_ = r.switches.Look(ctx)
			return
		}
	}
}
