package storage_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/movetest"
	"github.com/seed14a526e0/relaystore/internal/testclient"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/strategy"
)

// childVar makes the test binary a gateway that says how it stores what its input asks.
const childVar = "RELAYSTORE_TEST_STORAGE_CHILD"

func TestMain(m *testing.M) {
	movetest.Play()
	if os.Getenv(childVar) != "" {
		os.Exit(playGateway())
	}
	os.Exit(m.Run())
}

func playGateway() int {
	ctx := context.Background()
	cfg, err := repo.ConfigFromEnv()
	if err != nil {
		return 2
	}
	client, err := repo.Open(ctx, cfg)
	if err != nil {
		return 2
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		s, err := client.Storage.GetStorageConfig(strategy.DataType(lines.Text()))
		if err != nil {
			return 2
		}
		doc, err := json.Marshal(s)
		if err != nil {
			return 2
		}
		fmt.Printf("%s\n", doc)
	}
	if client.Close(ctx) != nil {
		return 1
	}
	return 0
}

// child is a gateway's process: it gives how it stores a data type.
func child(t *testing.T, cfg repo.Config) func(strategy.DataType) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVar+"=1", "DATABASE_URL="+cfg.DatabaseURL, "REDIS_URL="+cfg.RedisURL, "RELAYSTORE_KEY_PREFIX="+cfg.KeyPrefix)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	lines := bufio.NewReader(out)
	return func(dataType strategy.DataType) string {
		_, err := fmt.Fprintln(in, dataType)
		require.NoError(t, err)
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		return line
	}
}

// Two clients and a process of its own follow whichever of them switches.
func TestProcessesFollow(t *testing.T) {
	t.Parallel()
	cfg := testclient.Config(t)
	clients := []*repo.Client{testclient.Open(t, cfg), testclient.Open(t, cfg)}
	ask := child(t, cfg)
	for i, dataType := range []strategy.DataType{strategy.Session, strategy.Account, strategy.APIKey, strategy.Session} {
		c := off
		if i == 3 {
			c = strategy.Default(dataType, false)
		}
		require.NoError(t, clients[i%2].Storage.SwitchStorageStrategy(t.Context(), dataType, c).Err())
		want := state(t, clients[i%2], dataType)
		require.Equal(t, want.Config, c)
		eventually(t, func() bool { return state(t, clients[1-i%2], dataType) == want })
		eventually(t, func() bool { return ask(dataType) == document(t, want)+"\n" })
	}
}
