package accounts

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever the checks let pass comes back as it went in.
func TestSecretsRoundTrip(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[^\x00-\x1f\x7f]{0,20}|(=|idToken=|apiKey)*`)
	rapid.Check(t, func(t *rapid.T) {
		s := Secrets{
			IDToken: text.Draw(t, "id"), Email: text.Draw(t, "email"), Password: text.Draw(t, "password"), BearerToken: text.Draw(t, "bearer"),
		}
		if rapid.Bool().Draw(t, "aws") {
			s.AWS = &AWSCredentials{AccessKeyID: "a" + text.Draw(t, "key"), SecretAccessKey: "b" + text.Draw(t, "secret"), SessionToken: text.Draw(t, "session")}
		}
		for range rapid.IntRange(0, 3).Draw(t, "keys") {
			s.APIKeys = append(s.APIKeys, "k"+text.Draw(t, "api key"))
		}
		require.NoError(t, s.check("secrets"))
		require.Equal(t, s, parseSecrets(s.text()))
	})
}
