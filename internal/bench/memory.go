package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/seed14a526e0/relaystore/repo"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

const (
	// fillTimeout bounds the measurement, which takes about 30 s.
	fillTimeout = 5 * time.Minute

	mebi = 1 << 20
)

// Filling is what [FillCommand] prints.
type Filling struct {
	// MiB is what the process's memory grew by.
	MiB float64 `json:"mib"`
}

// Fill measures how much memory this process needs for n cached keys, which the
// place must have.
func Fill(ctx context.Context, p Place, n int) (f Filling, err error) {
	s, err := openSession(ctx, p, repo.DefaultMaxConns, nil)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err := s.ready(ctx); err != nil {
		return f, err
	}
	before, err := resident()
	if err != nil {
		return f, err
	}
	if err := s.warm(ctx, n, keyHash); err != nil {
		return f, err
	}
	after, err := resident()
	return Filling{rounded((after-before)/mebi, 1)}, err
}

// fillElsewhere runs Fill in a process of its own.
func fillElsewhere(ctx context.Context, p Place, n int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	cmd, err := p.child(ctx, FillCommand, strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	var f Filling
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err == nil {
		err = json.Unmarshal(out, &f)
	}
	if err != nil {
		return 0, fmt.Errorf("the process that fills its cache: %w", err)
	}
	return f.MiB, nil
}

// resident is this process's resident memory in bytes, without what it could give
// back; where there is no /proc, what Go has taken from the system.
func resident() (float64, error) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, os.ErrNotExist) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.Sys - m.HeapReleased), nil
	}
	if err != nil {
		return 0, err
	}
	var size, pages float64
	_, err = fmt.Fscan(bytes.NewReader(text), &size, &pages)
	return pages * float64(os.Getpagesize()), err
}
