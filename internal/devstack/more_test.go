package devstack

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
)

func redisClient(t *testing.T, url string) rueidis.Client {
	t.Helper()
	option, err := rueidis.ParseURL(url)
	require.NoError(t, err)
	option.ForceSingleClient = true
	client, err := rueidis.NewClient(option)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// A master, its replica and their Sentinel; the master comes back empty.
func TestMoreRedis(t *testing.T) {
	t.Parallel()
	s := start(t, Options{SkipPostgres: true})
	master, err := s.AddRedis(t.Context())
	require.NoError(t, err)
	replica, err := s.AddRedis(t.Context(), fmt.Sprintf("replicaof 127.0.0.1 %d", master.Port))
	require.NoError(t, err)
	sentinel, err := s.AddSentinel(t.Context(), fmt.Sprintf("sentinel monitor m 127.0.0.1 %d 1", master.Port))
	require.NoError(t, err)
	require.Len(t, s.PIDs(), 4)

	c := redisClient(t, master.URL())
	require.NoError(t, c.Do(t.Context(), c.B().Set().Key("k").Value("v").Build()).Error())
	get := func(c rueidis.Client) string {
		text, _ := c.Do(t.Context(), c.B().Get().Key("k").Build()).ToString()
		return text
	}
	r := redisClient(t, replica.URL())
	require.Eventually(t, func() bool { return get(r) == "v" }, time.Minute, time.Millisecond)
	q := redisClient(t, sentinel.URL())
	address, err := q.Do(t.Context(), q.B().SentinelGetMasterAddrByName().Master("m").Build()).AsStrSlice()
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1", strconv.Itoa(master.Port)}, address)

	pid := master.PID()
	master.Kill()
	require.NotContains(t, s.PIDs(), pid)
	require.NoError(t, master.Start(t.Context()))
	require.Empty(t, get(redisClient(t, master.URL())))
}

func TestNoMoreRedisWithoutOne(t *testing.T) {
	t.Parallel()
	_, err := start(t, Options{SkipPostgres: true, SkipRedis: true}).AddRedis(t.Context())
	require.ErrorIs(t, err, errNoRedis)
}
