package result_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/repo/result"
)

func TestTimePrintsAsJavaScript(t *testing.T) {
	t.Parallel()
	kathmandu := time.FixedZone("", 5*3600+45*60)
	for want, at := range map[string]time.Time{
		`"2025-09-16T08:00:00.000Z"`: time.Date(2025, 9, 16, 8, 0, 0, 0, time.UTC),
		`"2025-09-16T02:15:00.123Z"`: time.Date(2025, 9, 16, 8, 0, 0, 123_999_999, kathmandu),
		`"1969-12-31T23:59:59.999Z"`: time.UnixMilli(-1),
		`"2000-02-29T23:59:59.000Z"`: time.Date(2000, 2, 29, 23, 59, 59, 999_999, time.UTC),
	} {
		out, err := json.Marshal(result.Time(at))
		require.NoError(t, err)
		require.Equal(t, want, string(out))
	}
}

func TestTimeAbsent(t *testing.T) {
	t.Parallel()
	out, err := json.Marshal(struct {
		At result.Time `json:"at,omitzero"`
	}{})
	require.NoError(t, err)
	require.Equal(t, `{}`, string(out))
	require.True(t, result.Time{}.IsZero())
	require.False(t, result.Time(time.Unix(0, 0)).IsZero())
}
