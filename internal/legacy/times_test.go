package legacy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2025-09-16T08:00:00.123Z": "2025-09-16T08:00:00.123Z", "2025-09-16T08:00:00+08:00": "2025-09-16T00:00:00.000Z",
		"0": "1970-01-01T00:00:00.000Z", "1757980800123": "2025-09-16T00:00:00.123Z", "9999-12-31T23:59:59Z": "9999-12-31T23:59:59.000Z",
		"-1": "", "1969-12-31T23:59:59Z": "", "253402300800000": "", "": "", "null": "", "2025-09-16": "",
	} {
		got, is := ParseTime(text)
		require.Equal(t, want, FormatTime(got), text)
		require.Equal(t, want != "", is, text)
		require.Equal(t, time.UTC, got.Location(), text)
	}
}
