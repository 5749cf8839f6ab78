package bench

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Hidden commands of `relaystore bench` that run in processes of their own.
const (
	FillCommand = "fill" // takes a number of keys, prints what Fill gives
	LoopCommand = "loop" // runs Loop
)

// childDelay is how long a child gets to end by itself.
const childDelay = 10 * time.Second

const prefixVar = "RELAYSTORE_KEY_PREFIX"

// Place is a migrated database and a prefix of keys in Redis that nobody else
// uses.
type Place struct {
	DatabaseURL, RedisURL, Prefix string
}

// PlaceFromEnv is the place that a child was given.
func PlaceFromEnv() Place {
	return Place{os.Getenv("DATABASE_URL"), os.Getenv("REDIS_URL"), os.Getenv(prefixVar)}
}

// child is this program's hidden command, which ends with ctx.
func (p Place) child(ctx context.Context, command ...string) (*exec.Cmd, error) {
	return p.Command(ctx, append([]string{"bench"}, command...)...)
}

// Command is this program again, with the place in its environment and nothing else
// that configures the library.
func (p Place) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RELAYSTORE_") }),
		"DATABASE_URL="+p.DatabaseURL, "REDIS_URL="+p.RedisURL, prefixVar+"="+p.Prefix)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = childDelay
	return cmd, nil
}
