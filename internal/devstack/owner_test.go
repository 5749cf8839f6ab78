package devstack

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stages are files that appear one after another while an owner starts.
var stages = map[string]string{
	"folder":   "relaystore-*",
	"initdb":   "relaystore-*/data/PG_VERSION",
	"catalogs": "relaystore-*/data/base/4",
	"postgres": "relaystore-*/data/postmaster.pid",
	"socket":   "relaystore-*/pg/" + socketFile,
}

// startUntil plays an owner up to a stage.
func startUntil(t *testing.T, dir, pattern string) *helper {
	t.Helper()
	h := play(t, "owner", "TMPDIR="+dir)
	require.Eventually(t, func() bool {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		return err == nil && len(found) > 0
	}, patience, 3*time.Millisecond)
	return h
}

func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	h := play(t, "owner", "TMPDIR="+dir)
	require.Contains(t, h.line(t), dir)
	require.NotEmpty(t, processesIn(dir))
	require.NoError(t, h.Process.Kill())
	requireGone(t, dir)
}

// The group is killed as a terminal or a CI runner may do it.
func TestOwnersGroupKilled(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	h := play(t, "owner", "TMPDIR="+dir)
	require.Contains(t, h.line(t), "up")
	require.NoError(t, syscall.Kill(-h.Process.Pid, syscall.SIGKILL))
	requireGone(t, dir)
}

func TestOwnerKilledAtStage(t *testing.T) {
	t.Parallel()
	for name, pattern := range stages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openTempDir(t)
			h := startUntil(t, dir, pattern)
			require.NoError(t, h.Process.Kill())
			requireGone(t, dir)
		})
	}
}

func TestCancelledAtStage(t *testing.T) {
	t.Parallel()
	for name, pattern := range stages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openTempDir(t)
			h := startUntil(t, dir, pattern)
			require.NoError(t, h.Process.Signal(syscall.SIGTERM))
			out, _ := h.finish(t)
			// It may have been up before the signal arrived.
			require.True(t, strings.Contains(out, context.Canceled.Error()) || strings.HasPrefix(out, "up"), out)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
			require.Empty(t, processesIn(dir))
		})
	}
}

func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestFailedStartShowsLog(t *testing.T) {
	t.Parallel()
	dir := openTempDir(t)
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho first line\necho the disk is on fire\nexit 3\n"
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	}
	h := play(t, "owner", "TMPDIR="+dir, "PATH="+bin+":"+os.Getenv("PATH"))
	out, code := h.finish(t)
	require.Equal(t, 1, code)
	require.Equal(t, "devstack: initdb did not start: exit status 3; its log ends with: first line | the disk is on fire\n", out)
	left, err := filepath.Glob(filepath.Join(dir, "relaystore-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// A closed TMPDIR and one too long for a socket are passed over.
func TestUnsuitableTempDir(t *testing.T) {
	t.Parallel()
	long := filepath.Join(openTempDir(t), strings.Repeat("x", 100))
	require.NoError(t, os.Mkdir(long, 0o755))
	closed := filepath.Join(openTempDir(t), "closed")
	require.NoError(t, os.Mkdir(closed, 0o500))
	for _, dir := range []string{long, closed} {
		h := play(t, "owner", "TMPDIR="+dir)
		up := h.line(t)
		require.True(t, strings.HasPrefix(up, "up "), up)
		require.NotContains(t, up, dir)
		require.NoError(t, h.Process.Signal(syscall.SIGTERM))
		_, code := h.finish(t)
		require.Equal(t, 0, code)
	}
}
