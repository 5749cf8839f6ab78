package testdb

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

// PipeRedis sends a gzipped file of commands, as redis-cli --pipe takes them, to the
// Redis at url.
func PipeRedis(t testing.TB, url, file string) {
	t.Helper()
	f, err := os.Open(file) //nolint:gosec // of a test
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	unzipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	client, in := RedisAt(t, url), bufio.NewReader(unzipped)
	var cmds rueidis.Commands
	for {
		words, err := readCommand(in)
		if len(words) > 0 {
			cmds = append(cmds, client.B().Arbitrary(words...).Build())
		}
		if len(cmds) == 1000 || err != nil {
			for _, reply := range client.DoMulti(context.Background(), cmds...) {
				require.NoError(t, reply.Error())
			}
			cmds = nil
		}
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func readCommand(in *bufio.Reader) ([]string, error) {
	n, err := readLength(in)
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := readLength(in)
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+len("\r\n"))
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

func readLength(in *bufio.Reader) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}
