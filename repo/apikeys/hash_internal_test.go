package apikeys

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every byte at every place, against the standard library.
func TestParseHash(t *testing.T) {
	const text = "0123456789abcdefABCDEF9876543210ffeeddccbbaa99887766554433221100"
	for place := range text {
		for c := range 256 {
			b := []byte(text)
			b[place] = byte(c)
			want, wrong := hex.DecodeString(string(b))
			got, err := parseHash(string(b))
			if wrong != nil {
				require.ErrorIs(t, err, errHash, "%q", b)
				require.Zero(t, got)
				continue
			}
			require.NoError(t, err, "%q", b)
			require.Equal(t, want, got[:], "%q", b)
		}
	}
	for _, n := range []int{0, 1, 62, 63, 65, 128} {
		_, err := parseHash(strings.Repeat("0", n))
		require.ErrorIs(t, err, errHash)
	}
}
