package strategy

import (
	"context"
	"strings"

	"github.com/redis/rueidis"
)

// Call is one run of a Script.
type Call struct{ Keys, Args []string }

// Reply is what became of a Call.
type Reply struct {
	rueidis.RedisMessage

	Err error
}

// WriteAll is Write of many calls, in their order and in one round trip once the server
// knows the script; the caller bounds them. Each is whole or not at all, by itself. A
// caller who leaves before they are sent, such as behind a server that is not reached, has
// written nothing; after that it waits for the answers, at most OpTimeout.
func (r *Redis) WriteAll(ctx context.Context, t DataType, s *Script, calls []Call) []Reply {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	replies := make([]Reply, len(calls))
	left := make([]int, len(calls))
	for i := range left {
		left[i] = i
	}
	for len(left) > 0 {
		epoch, err := r.pass(ctx, t)
		if err != nil {
			fail(replies, left, err)
			return replies
		}
		fenced, found := r.runAll(ctx, t, s, epoch, calls, replies, left)
		switch {
		case len(fenced) == 0:
		case r.token != "":
			fail(replies, fenced, errLost)
			return replies
		case r.switches.Look(ctx) != nil || r.repair(ctx, t, found) != nil:
			fail(replies, fenced, errPaused)
			return replies
		}
		left = fenced
	}
	return replies
}

func fail(replies []Reply, at []int, err error) {
	for _, n := range at {
		replies[n].Err = err
	}
}

// runAll fills in the replies of some calls, and gives those that found something else in
// the place of the epoch.
func (r *Redis) runAll(ctx context.Context, t DataType, s *Script, epoch string, calls []Call, replies []Reply, at []int) (fenced []int, found string) {
	client, err := r.connected(ctx)
	if err != nil {
		fail(replies, at, err)
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.OpTimeout)
	defer cancel()
	run := func(at []int) (unknown []int) {
		cmds := make(rueidis.Commands, len(at))
		for i, n := range at {
			keys, args := calls[n].Keys, calls[n].Args
			cmds[i] = client.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys) + 1)).Key(EpochKey(t)).Key(keys...).Arg(epoch).Arg(args...).Build()
		}
		for i, reply := range client.DoMulti(ctx, cmds...) {
			message, err := reply.ToMessage()
			replies[at[i]] = Reply{message, damage(err)}
			refused, answered := rueidis.IsRedisErr(err)
			switch {
			case !answered && err != nil:
				replies[at[i]].Err = outcomeUnknown(r.failed(ctx, err))
			case answered && refused.IsNoScript():
				unknown = append(unknown, at[i])
			case answered && strings.HasPrefix(refused.Error(), fencedBy+" "):
				fenced, found = append(fenced, at[i]), strings.TrimPrefix(refused.Error(), fencedBy+" ")
			}
		}
		return unknown
	}
	if unknown := run(at); len(unknown) > 0 {
		if err := client.Do(ctx, client.B().ScriptLoad().Script(s.text).Build()).Error(); err != nil {
			fail(replies, unknown, r.failed(ctx, err)) // nothing has run
		} else {
			run(unknown)
		}
	}
	return fenced, found
}
